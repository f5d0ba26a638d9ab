/* The four operations, blocking, and the pointers that they refuse. */

#include "check.h"

static void a_session_comes_and_goes(const rsp_storage *storage) {
    const rsp_pair pairs[] = {{TEXT("shop"), TEXT("ada")}, {TEXT("forum"), TEXT("ada's \"second\"")}};
    rsp_set set = session("key", "value");
    rsp_metadata *metadata = NULL;
    const char *key = NULL;
    size_t key_len = 0;
    int64_t expires_s = 0;

    set.now_s = INT64_C(4000000000);
    set.metadata = pairs;
    set.metadata_len = 2;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
    expect_value(storage, "key", "value");
    expect_value(storage, "no such key", NULL);

    CHECK_STATUS(RSP_OK, rsp_storage_read_metadata(storage, pairs[1].audience, pairs[1].audience_len,
                                                   pairs[1].subject, pairs[1].subject_len, RSP_NOW,
                                                   &metadata, MESSAGE));
    CHECK(rsp_metadata_len(metadata) == 1);
    CHECK(rsp_metadata_get(metadata, 0, &key, &key_len, &expires_s) == RSP_OK);
    CHECK(key_len == 3 && strcmp(key, "key") == 0);
    CHECK(expires_s == INT64_C(4000000060));
    CHECK(rsp_metadata_get(metadata, 0, &key, NULL, NULL) == RSP_OK);
    key = POISON(const char);
    CHECK(rsp_metadata_get(metadata, 1, &key, &key_len, &expires_s) == RSP_INVALID_ARGUMENT);
    CHECK(rsp_metadata_get(metadata, SIZE_MAX, &key, NULL, NULL) == RSP_INVALID_ARGUMENT);
    CHECK(rsp_metadata_get(metadata, 0, NULL, &key_len, &expires_s) == RSP_NULL_POINTER);
    CHECK(rsp_metadata_get(NULL, 0, &key, &key_len, &expires_s) == RSP_NULL_POINTER);
    CHECK(key == POISON(const char) && key_len == 3 && expires_s == INT64_C(4000000060));
    rsp_metadata_free(metadata);

    CHECK_STATUS(RSP_OK, rsp_storage_delete(storage, TEXT("key"), MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_storage_delete(storage, TEXT("key"), MESSAGE));
    expect_value(storage, "key", NULL);
    CHECK_STATUS(RSP_OK, rsp_storage_read_metadata(storage, TEXT("shop"), TEXT("ada"), RSP_NOW,
                                                   &metadata, MESSAGE));
    CHECK(metadata != NULL && rsp_metadata_len(metadata) == 0);
    rsp_metadata_free(metadata);
}

static void a_new_session_replaces_an_old_one(const rsp_storage *storage) {
    rsp_set set = session("second", "2");
    save(storage, "first", "1");
    set.old_key = "first";
    set.old_key_len = 5;
    set.stale_ttl_s = 10;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
    expect_value(storage, "first", "1");
    set.flags = RSP_SET_DELETE_OLD;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
    expect_value(storage, "first", NULL);
    expect_value(storage, "second", "2");
}

static void values_have_a_length(const rsp_storage *storage) {
    rsp_bytes *found = NULL;
    rsp_set set = session("keyhole", "valueless");
    set.key_len = 3;
    set.value_len = 5;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
    expect_value(storage, "key", "value");
    set.value_len = 0;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_storage_get(storage, "keys", 3, RSP_NOW, &found, MESSAGE));
    CHECK(found != NULL && rsp_bytes_len(found) == 0 && *rsp_bytes_data(found) == '\0');
    rsp_bytes_free(found);
}

#define REFUSES(status, field, wrong)                                          \
    do {                                                                       \
        rsp_set set = session("refused", "value");                             \
        set.old_key = "old";                                                   \
        set.old_key_len = 3;                                                   \
        set.field = wrong;                                                     \
        CHECK_STATUS(status, rsp_storage_set(storage, &set, MESSAGE));         \
    } while (0)

static void wrong_sets_are_refused(const rsp_storage *storage) {
    const rsp_pair pair = {NULL, 0, TEXT("subject")};
    struct {
        rsp_set set;
        uint64_t later;
    } longer;
    rsp_set set;
    memset(&set, 0, sizeof set);

    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_set(NULL, &set, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_set(storage, NULL, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_set_init(NULL, sizeof set));
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_set_init(&set, 0));
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_set_init(&set, SIZE_MAX));
    /* Not initialized. */
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_set(storage, &set, MESSAGE));

    REFUSES(RSP_INVALID_ARGUMENT, size, sizeof(rsp_set) - 1);
    REFUSES(RSP_INVALID_ARGUMENT, size, SIZE_MAX);
    REFUSES(RSP_NULL_POINTER, name, NULL);
    REFUSES(RSP_NULL_POINTER, key, NULL);
    REFUSES(RSP_NULL_POINTER, value, NULL);
    REFUSES(RSP_INVALID_TEXT, key_len, 0);
    REFUSES(RSP_INVALID_TEXT, old_key_len, 0);
    REFUSES(RSP_INVALID_TEXT, value_len, SIZE_MAX);
    REFUSES(RSP_INVALID_TEXT, value, "va\0ue");
    REFUSES(RSP_INVALID_TEXT, value, "valu\xff");
    REFUSES(RSP_INVALID_ARGUMENT, ttl_s, INT64_MAX);
    REFUSES(RSP_INVALID_ARGUMENT, ttl_s, INT64_MIN);
    REFUSES(RSP_INVALID_ARGUMENT, now_s, INT64_MAX);
    REFUSES(RSP_INVALID_ARGUMENT, now_s, INT64_MIN + 1);
    REFUSES(RSP_INVALID_ARGUMENT, stale_ttl_s, INT64_MAX);
    REFUSES(RSP_INVALID_ARGUMENT, flags, 2);
    REFUSES(RSP_NULL_POINTER, metadata_len, 1);

    set = session("refused", "value");
    set.metadata = &pair;
    set.metadata_len = 1;
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_set(storage, &set, MESSAGE));
    CHECK(strcmp(message, "audience is NULL") == 0);
    set.metadata_len = SIZE_MAX;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_set(storage, &set, MESSAGE));
    expect_value(storage, "refused", NULL);

    /* A later version's struct: what this one does not know must be nothing. */
    CHECK_STATUS(RSP_OK, rsp_set_init(&longer.set, sizeof longer));
    CHECK(longer.later == 0);
    set = session("later", "value");
    set.size = sizeof longer;
    longer.set = set;
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &longer.set, MESSAGE));
    longer.later = 1;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_set(storage, &longer.set, MESSAGE));
}

/* Above all, a subject must not be lost on the way to everybody's end. */
static void what_an_operation_does_not_take_is_refused(const rsp_storage *storage) {
    rsp_completion *completion = POISON(rsp_completion);
    rsp_request request;

    CHECK_STATUS(RSP_OK, rsp_request_init(&request, sizeof request, RSP_REVOKE_AUDIENCE));
    request.audience = "nobody";
    request.audience_len = 6;
    request.subject = "ada";
    request.subject_len = 3;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_call(storage, &request, &completion, MESSAGE));
    CHECK(strcmp(message, "subject: this operation takes none") == 0);
    request.subject = NULL;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_call(storage, &request, &completion, MESSAGE));
    CHECK(strcmp(message, "subject: NULL has no length") == 0);
    request.subject_len = 0;
    request.flags = RSP_COUNT_ESTIMATE;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_call(storage, &request, &completion, MESSAGE));
    request.flags = 0;
    request.limit = 1;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_call(storage, &request, &completion, MESSAGE));
    request.limit = 0;
    request.ttl_s = 1;
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_storage_call(storage, &request, &completion, MESSAGE));
    CHECK(completion == POISON(rsp_completion));
    request.ttl_s = 0;
    CHECK_STATUS(RSP_OK, rsp_storage_call(storage, &request, &completion, MESSAGE));
    CHECK(rsp_completion_count(completion) == 0);
    rsp_completion_free(completion);
}

static void outputs_are_written_on_success_alone(const rsp_storage *storage) {
    rsp_bytes *value = POISON(rsp_bytes);
    rsp_metadata *metadata = POISON(rsp_metadata);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_get(NULL, TEXT("k"), RSP_NOW, &value, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_get(storage, NULL, 0, RSP_NOW, &value, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_get(storage, TEXT("k"), RSP_NOW, NULL, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_storage_get(storage, "", 0, RSP_NOW, &value, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_storage_get(storage, "\xff", 1, RSP_NOW, &value, MESSAGE));
    CHECK_STATUS(RSP_INVALID_ARGUMENT,
                 rsp_storage_get(storage, TEXT("k"), INT64_MAX, &value, MESSAGE));
    CHECK(value == POISON(rsp_bytes));

    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_read_metadata(NULL, TEXT("a"), TEXT("s"), RSP_NOW,
                                                             &metadata, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_read_metadata(storage, NULL, 1, TEXT("s"), RSP_NOW,
                                                             &metadata, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_read_metadata(storage, TEXT("a"), NULL, 1, RSP_NOW,
                                                             &metadata, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_read_metadata(storage, TEXT("a"), TEXT("s"), RSP_NOW,
                                                             NULL, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_storage_read_metadata(storage, "a\0", 2, TEXT("s"), RSP_NOW,
                                                             &metadata, MESSAGE));
    CHECK(metadata == POISON(rsp_metadata));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_delete(NULL, TEXT("k"), MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_delete(storage, NULL, 1, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_storage_delete(storage, TEXT(""), MESSAGE));
    /* Nobody has to want a message. */
    CHECK(rsp_storage_delete(storage, NULL, 1, NULL, 0) == RSP_NULL_POINTER);
}

static void nothing_is_freed_and_read_as_nothing(void) {
    rsp_storage_free(NULL);
    rsp_bytes_free(NULL);
    rsp_metadata_free(NULL);
    CHECK(rsp_bytes_data(NULL) == NULL);
    CHECK(rsp_bytes_len(NULL) == 0);
    CHECK(rsp_metadata_len(NULL) == 0);
}

/* Nobody listens on port 1: the failure says so, and the log has a line of it. */
static void a_failure_is_told_and_logged(char **argv) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    rsp_bytes *value = POISON(rsp_bytes);
    rsp_log *log = NULL;
    const char *line = POISON(const char);
    rsp_log_level level;
    set_key(config, "port", "1");
    set_key(config, "connect_timeout", "1000");
    storage = storage_of(config);
    rsp_config_free(config);
    CHECK_STATUS(RSP_NO_CONNECTION,
                 rsp_storage_get(storage, TEXT("key"), RSP_NOW, &value, MESSAGE));
    CHECK(strstr(message, ":1") != NULL);
    CHECK(value == POISON(rsp_bytes));

    CHECK_STATUS(RSP_NULL_POINTER, rsp_log_take(NULL));
    CHECK_STATUS(RSP_OK, rsp_log_take(&log));
    CHECK(rsp_log_len(log) > 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_log_get(log, rsp_log_len(log), &level, &line));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_log_get(log, 0, &level, NULL));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_log_get(NULL, 0, &level, &line));
    CHECK(line == POISON(const char));
    CHECK_STATUS(RSP_OK, rsp_log_get(log, 0, NULL, &line));
    CHECK_STATUS(RSP_OK, rsp_log_get(log, 0, &level, &line));
    CHECK(strlen(line) > 0 && level <= RSP_LOG_ERROR);
    rsp_log_free(log);
    rsp_log_free(NULL);
    CHECK(rsp_log_len(NULL) == 0);
    rsp_storage_free(storage);
}

int main(int argc, char **argv) {
    rsp_storage *storage;
    CHECK(argc == 4);
    storage = test_storage(argv);
    a_session_comes_and_goes(storage);
    a_new_session_replaces_an_old_one(storage);
    values_have_a_length(storage);
    wrong_sets_are_refused(storage);
    what_an_operation_does_not_take_is_refused(storage);
    outputs_are_written_on_success_alone(storage);
    nothing_is_freed_and_read_as_nothing();
    rsp_storage_free(storage);
    a_failure_is_told_and_logged(argv);
    return 0;
}
