/* The blocking functions: what their completions hold, and which pointers and lengths are refused. What
 * the operations do is tested through this interface too, in tests/behaviour. */

#include "check.h"

static void a_session_comes_and_goes(const rsp_storage *storage) {
    save(storage, "key", "value");
    expect_value(storage, "key", "value");
    expect_value(storage, "no such key", NULL);
    CHECK_STATUS(RSP_OK, rsp_delete(storage, TEXT("key"), MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_delete(storage, TEXT("key"), MESSAGE));
    expect_value(storage, "key", NULL);
}

static void sessions_are_listed(const rsp_storage *storage) {
    rsp_request *request = request_for_set("key", "value");
    rsp_completion *completion;
    int64_t expires = 99, created = 99;
    size_t len = 99;
    set_number(request, "current_time", 4e9);
    CHECK_STATUS(RSP_OK, rsp_request_pair(request, "metadata", TEXT("shop"), TEXT("ada"), MESSAGE));
    run(storage, request);

    request = request_for("read_metadata");
    set_text(request, "audience", "shop");
    set_text(request, "subject", "ada");
    completion = call(storage, request);
    CHECK(rsp_completion_sessions(completion) == 1);
    CHECK(strcmp(rsp_completion_session_key(completion, 0, &len), "key") == 0 && len == 3);
    CHECK(rsp_completion_session_expires(completion, 0, NULL));
    CHECK(rsp_completion_session_expires(completion, 0, &expires));
    CHECK(expires == INT64_C(4000000060));
    /* It reads neither names nor when the key was first saved, and has no other session. */
    CHECK(rsp_completion_session_name(completion, 0, &len) == NULL);
    CHECK(!rsp_completion_session_created(completion, 0, &created));
    CHECK(rsp_completion_session_key(completion, 1, &len) == NULL);
    CHECK(rsp_completion_session_key(completion, SIZE_MAX, &len) == NULL);
    CHECK(!rsp_completion_session_expires(completion, 1, &created));
    CHECK(len == 3 && created == 99);
    CHECK(rsp_completion_ticket(completion) == 0 && rsp_completion_user(completion) == NULL);
    rsp_completion_free(completion);
    rsp_request_free(request);

    request = request_for("list");
    set_text(request, "audience", "shop");
    completion = call(storage, request);
    CHECK(rsp_completion_sessions(completion) == 1);
    CHECK(strcmp(rsp_completion_session_name(completion, 0, &len), "session") == 0 && len == 7);
    /* The documented tables do not say when a key was first saved. */
    CHECK(!rsp_completion_session_created(completion, 0, &created) && created == 99);
    rsp_completion_free(completion);

    /* The same request again, with another argument. */
    set_text(request, "audience", "nowhere");
    completion = call(storage, request);
    CHECK(rsp_completion_sessions(completion) == 0);
    CHECK(!rsp_completion_limited(completion));
    rsp_completion_free(completion);
    rsp_request_free(request);
}

/* Lists from the beginning, or behind a key. Says whether the limit has ended the list. */
static bool list(const rsp_storage *storage, double limit, const char *after, size_t expected) {
    rsp_request *request = request_for("list");
    rsp_completion *completion;
    bool limited;
    set_text(request, "audience", "many");
    if (limit > 0)
        set_number(request, "limit", limit);
    if (after != NULL)
        set_text(request, "after_key", after);
    completion = call(storage, request);
    CHECK(rsp_completion_sessions(completion) == expected);
    limited = rsp_completion_limited(completion);
    rsp_completion_free(completion);
    rsp_request_free(request);
    return limited;
}

/* 1000 sessions are the default, so nobody takes the first 1000 of 1001 for all. */
static void a_list_says_that_its_limit_has_ended_it(const rsp_storage *storage) {
    char key[] = "many0000";
    int number;
    for (number = 0; number <= 1000; number++) {
        rsp_request *request;
        sprintf(key, "many%04d", number);
        request = request_for_set(key, "value");
        CHECK_STATUS(RSP_OK, rsp_request_pair(request, "metadata", TEXT("many"), TEXT("ada"), MESSAGE));
        run(storage, request);
    }
    CHECK(list(storage, 0, NULL, 1000));
    CHECK(!list(storage, 0, "many0999", 1));
    CHECK(!list(storage, 1002, NULL, 1001));
    CHECK(list(storage, 1001, NULL, 1001));
    CHECK(list(storage, 2, "many0005", 2));
}

static void findings_have_a_repair(const rsp_storage *storage) {
    rsp_request *request = request_for("check");
    rsp_completion *completion = call(storage, request);
    size_t problem_len = 0, repair_len = 0;
    const char *problem = rsp_completion_finding_problem(completion, 0, &problem_len);
    const char *repair = rsp_completion_finding_repair(completion, 0, &repair_len);
    CHECK(rsp_completion_findings(completion) == 2);
    CHECK(problem != NULL && strlen(problem) == problem_len);
    CHECK(repair != NULL && strlen(repair) == repair_len);
    CHECK(strstr(repair, "CREATE INDEX") == repair);
    CHECK(!rsp_completion_finding_is_advice(completion, 0));
    CHECK(rsp_completion_finding_is_advice(completion, 1));
    CHECK(rsp_completion_finding_problem(completion, 2, NULL) == NULL);
    CHECK(rsp_completion_finding_repair(completion, 2, NULL) == NULL);
    CHECK(!rsp_completion_finding_is_advice(completion, 2));
    rsp_completion_free(completion);
    rsp_request_free(request);
}

static void texts_have_a_length(const rsp_storage *storage) {
    rsp_request *request = request_for("get");
    rsp_completion *completion;
    CHECK_STATUS(RSP_OK, rsp_set(storage, "sessions", 7, "keyhole", 3, "valueless", 5, 60, MESSAGE));
    expect_value(storage, "key", "value");
    CHECK_STATUS(RSP_OK, rsp_request_text(request, "key", "keys", 3, MESSAGE));
    completion = call(storage, request);
    expect(completion, "value");
    rsp_completion_free(completion);
    rsp_request_free(request);
    /* An empty text is possible where the operation accepts it. */
    CHECK_STATUS(RSP_OK, rsp_set(storage, TEXT(""), TEXT("key"), TEXT(""), 60, MESSAGE));
    expect_value(storage, "key", "");
}

/* Above all, a subject must not be lost, and all sessions of an audience ended. */
static void what_an_operation_does_not_take_is_refused(void) {
    rsp_request *request = POISON(rsp_request);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_new("gett", &request, MESSAGE));
    CHECK(strstr(message, "operation: \"gett\" is none of set, get,") == message);
    CHECK(request == POISON(rsp_request));

    request = request_for("revoke_audience");
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_text(request, "subject", TEXT("ada"), MESSAGE));
    CHECK(strcmp(message, "parameter: revoke_audience has name, audience, not \"subject\"") == 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_flag(request, "estimate", true, MESSAGE));
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_number(request, "limit", 1, MESSAGE));
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_pair(request, "metadata", TEXT("a"), TEXT("s"),
                                                        MESSAGE));
    rsp_request_free(request);

    request = request_for("set");
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_text(request, "ttl", TEXT("60"), MESSAGE));
    CHECK(strcmp(message, "ttl: number expected, got text") == 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_number(request, "key", 1, MESSAGE));
    CHECK(strcmp(message, "key: text expected, got number") == 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_flag(request, "metadata", true, MESSAGE));
    CHECK(strcmp(message, "metadata: pair expected, got flag") == 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_request_pair(request, "remember", TEXT("a"), TEXT("s"),
                                                        MESSAGE));
    CHECK(strcmp(message, "remember: flag expected, got pair") == 0);
    rsp_request_free(request);
}

/* It must not revoke the sessions of the subject "". */
static void a_forgotten_length_is_refused(const rsp_storage *storage) {
    rsp_request *request = request_for("revoke");
    rsp_completion *completion = POISON(rsp_completion);
    set_text(request, "audience", "shop");
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_request_text(request, "subject", "ada", 0, MESSAGE));
    CHECK(strstr(message, "subject has the length 0") == message);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_request_text(request, "subject", NULL, 0, MESSAGE));
    CHECK(strcmp(message, "subject is NULL") == 0);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_call(storage, request, &completion, MESSAGE));
    CHECK(strstr(message, "subject: ") == message && completion == POISON(rsp_completion));
    set_text(request, "subject", "");
    completion = call(storage, request);
    CHECK(rsp_completion_count(completion) == 0);
    rsp_completion_free(completion);
    rsp_request_free(request);

    request = request_for("set");
    CHECK_STATUS(RSP_INVALID_TEXT,
                 rsp_request_pair(request, "metadata", "a", 0, TEXT("s"), MESSAGE));
    CHECK(strstr(message, "audience") == message);
    CHECK_STATUS(RSP_INVALID_TEXT,
                 rsp_request_pair(request, "metadata", TEXT("a"), "s", 0, MESSAGE));
    CHECK(strstr(message, "subject") == message);
    rsp_request_free(request);
}

static void what_is_refused_changes_nothing(const rsp_storage *storage) {
    rsp_request *request = request_for("set");
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_call(storage, request, NULL, MESSAGE));
    CHECK(strcmp(message, "name: string expected, got nothing") == 0);
    rsp_request_free(request);
    request = request_for_set("refused", "value");
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_request_text(request, "value", "x", SIZE_MAX - 1, MESSAGE));
    rsp_completion_free(call(storage, request));
    expect_value(storage, "refused", "value");
    set_number(request, "ttl", 1e300);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_call(storage, request, NULL, MESSAGE));
    CHECK(strstr(message, "ttl") == message);
    rsp_request_clear(request);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_call(storage, request, NULL, MESSAGE));
    CHECK(strstr(message, "name") == message);
    rsp_request_free(request);
}

static void null_is_refused(const rsp_storage *storage) {
    rsp_request *request = request_for_key("get", "key");
    rsp_completion *completion = POISON(rsp_completion);
    rsp_request *made = POISON(rsp_request);

#define REFUSED(name, call)                                                    \
    CHECK_STATUS(RSP_NULL_POINTER, (call));                                    \
    CHECK(strcmp(message, name " is NULL") == 0)
    REFUSED("operation", rsp_request_new(NULL, &made, MESSAGE));
    REFUSED("request_out", rsp_request_new("get", NULL, MESSAGE));
    REFUSED("request", rsp_request_text(NULL, "key", TEXT("k"), MESSAGE));
    REFUSED("parameter", rsp_request_text(request, NULL, TEXT("k"), MESSAGE));
    REFUSED("key", rsp_request_text(request, "key", NULL, 1, MESSAGE));
    REFUSED("request", rsp_request_number(NULL, "ttl", 1, MESSAGE));
    REFUSED("parameter", rsp_request_number(request, NULL, 1, MESSAGE));
    REFUSED("request", rsp_request_flag(NULL, "remember", true, MESSAGE));
    REFUSED("parameter", rsp_request_flag(request, NULL, true, MESSAGE));
    REFUSED("request", rsp_request_pair(NULL, "metadata", TEXT("a"), TEXT("s"), MESSAGE));
    REFUSED("parameter", rsp_request_pair(request, NULL, TEXT("a"), TEXT("s"), MESSAGE));
    REFUSED("storage", rsp_call(NULL, request, &completion, MESSAGE));
    REFUSED("request", rsp_call(storage, NULL, &completion, MESSAGE));
    REFUSED("storage", rsp_get(NULL, TEXT("k"), &completion, MESSAGE));
    REFUSED("key", rsp_get(storage, NULL, 1, &completion, MESSAGE));
    REFUSED("completion_out", rsp_get(storage, TEXT("k"), NULL, MESSAGE));
    REFUSED("storage", rsp_set(NULL, TEXT("n"), TEXT("k"), TEXT("v"), 1, MESSAGE));
    REFUSED("name", rsp_set(storage, NULL, 1, TEXT("k"), TEXT("v"), 1, MESSAGE));
    REFUSED("key", rsp_set(storage, TEXT("n"), NULL, 1, TEXT("v"), 1, MESSAGE));
    REFUSED("value", rsp_set(storage, TEXT("n"), TEXT("k"), NULL, 1, 1, MESSAGE));
    REFUSED("storage", rsp_delete(NULL, TEXT("k"), MESSAGE));
    REFUSED("key", rsp_delete(storage, NULL, 1, MESSAGE));
    REFUSED("storage", rsp_storage_metrics(NULL, &completion, MESSAGE));
    REFUSED("completion_out", rsp_storage_metrics(storage, NULL, MESSAGE));
    REFUSED("storage", rsp_storage_set_password(NULL, TEXT("p"), MESSAGE));
    REFUSED("password", rsp_storage_set_password(storage, NULL, 1, MESSAGE));
    REFUSED("completion", rsp_completion_status(NULL, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_get(storage, TEXT(""), &completion, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_get(storage, "\xff", 1, &completion, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_delete(storage, "k", 0, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_set(storage, "n", 0, "k", 0, "v", 0, 1, MESSAGE));
    CHECK(completion == POISON(rsp_completion) && made == POISON(rsp_request));
    /* The message may be left out. */
    CHECK(rsp_delete(storage, NULL, 1, NULL, 0) == RSP_NULL_POINTER);
    rsp_request_free(request);

    rsp_storage_free(NULL);
    rsp_request_free(NULL);
    rsp_request_clear(NULL);
    rsp_completion_free(NULL);
    CHECK(rsp_completion_value(NULL, NULL) == NULL && !rsp_completion_found(NULL));
    CHECK(rsp_completion_count(NULL) == 0 && rsp_completion_sessions(NULL) == 0);
    CHECK(rsp_completion_session_key(NULL, 0, NULL) == NULL);
    CHECK(rsp_completion_session_name(NULL, 0, NULL) == NULL);
    CHECK(!rsp_completion_session_expires(NULL, 0, NULL));
    CHECK(!rsp_completion_session_created(NULL, 0, NULL));
    CHECK(!rsp_completion_limited(NULL));
    CHECK(rsp_completion_findings(NULL) == 0);
    CHECK(rsp_completion_finding_problem(NULL, 0, NULL) == NULL);
    CHECK(rsp_completion_finding_repair(NULL, 0, NULL) == NULL);
}

static void metrics_are_a_text(const rsp_storage *storage) {
    rsp_completion *completion = NULL;
    size_t len = 0;
    const char *text;
    CHECK_STATUS(RSP_OK, rsp_storage_metrics(storage, &completion, MESSAGE));
    text = rsp_completion_value(completion, &len);
    CHECK(text != NULL && strlen(text) == len && strstr(text, "# TYPE ") != NULL);
    rsp_completion_free(completion);
}

/* Nothing listens on port 1: the failure says so, and the log has a line of it. */
static void a_failure_has_a_message_and_a_log_line(char **argv) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    rsp_log *log;
    rsp_log_level level = (rsp_log_level)99;
    size_t count = 0;
    rsp_log_free(rsp_log_take());
    CHECK(rsp_log_take() == NULL);
    set_key(config, "port", "1");
    set_key(config, "connect_timeout", "1000");
    storage = storage_of(config);
    rsp_config_free(config);
    expect_failure(RSP_NO_CONNECTION, storage, "key");
    CHECK(strstr(message, ":1") != NULL);

    log = rsp_log_take();
    CHECK(log != NULL);
    while (rsp_log_line(log, count, NULL) != NULL) {
        CHECK(strlen(rsp_log_line(log, count, &level)) > 0 && level <= RSP_LOG_LEVEL_ERROR);
        count++;
    }
    CHECK(count > 0);
    level = (rsp_log_level)99;
    CHECK(rsp_log_line(log, count, &level) == NULL && rsp_log_line(NULL, 0, &level) == NULL);
    CHECK((int)level == 99);
    rsp_log_free(log);
    rsp_log_free(NULL);
    rsp_storage_free(storage);
}

int main(int argc, char **argv) {
    rsp_storage *storage;
    CHECK(argc == 4);
    storage = test_storage(argv);
    a_session_comes_and_goes(storage);
    sessions_are_listed(storage);
    a_list_says_that_its_limit_has_ended_it(storage);
    findings_have_a_repair(storage);
    texts_have_a_length(storage);
    what_an_operation_does_not_take_is_refused();
    a_forgotten_length_is_refused(storage);
    what_is_refused_changes_nothing(storage);
    null_is_refused(storage);
    metrics_are_a_text(storage);
    rsp_storage_free(storage);
    a_failure_has_a_message_and_a_log_line(argv);
    return 0;
}
