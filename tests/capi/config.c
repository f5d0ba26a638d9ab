/* Configurations: what the keys take, how a failure reads, and which version this is. No database. */

#include "check.h"

static void versions_agree(void) {
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d.%d.%d", RSP_VERSION_MAJOR, RSP_VERSION_MINOR,
             RSP_VERSION_PATCH);
    CHECK(strcmp(numbers, RSP_VERSION_STRING) == 0);
    CHECK(strcmp(rsp_version(), RSP_VERSION_STRING) == 0);
}

/* Programs have these numbers compiled in: none may ever change. */
static void statuses_keep_their_numbers(void) {
    static const char *const names[] = {
        "RSP_OK",           "RSP_NULL_POINTER",      "RSP_INVALID_ARGUMENT", "RSP_INVALID_TEXT",
        "RSP_INVALID_CONFIG", "RSP_BACKLOG_FULL",    "RSP_NO_CONNECTION",    "RSP_REFUSED",
        "RSP_TIMEOUT",      "RSP_CONNECTION_LOST",   "RSP_LOCKED",           "RSP_DATABASE",
        "RSP_TOO_MANY_SESSIONS", "RSP_STOPPED",      "RSP_SYSTEM",           "RSP_INTERNAL",
        "RSP_TOO_LARGE",
        "RSP_SESSION_ENDED",
    };
    uint32_t number;
    for (number = 0; number < sizeof names / sizeof *names; number++) {
        CHECK(strcmp(rsp_status_name(number), names[number]) == 0);
    }
    CHECK(strcmp(rsp_status_name(number), "RSP_UNKNOWN") == 0);
    CHECK(strcmp(rsp_status_name(UINT32_MAX), "RSP_UNKNOWN") == 0);
    CHECK(RSP_INVALID_CONFIG == 4 && RSP_INTERNAL == 15 && RSP_TOO_LARGE == 16 &&
          RSP_SESSION_ENDED == 17);
    CHECK(RSP_LOG_LEVEL_INFO == 0 && RSP_LOG_LEVEL_NOTICE == 1 && RSP_LOG_LEVEL_WARN == 2);
    CHECK(RSP_LOG_LEVEL_ERROR == 3);
}

/* Lengths count: what follows a text is not a part of it. */
static void keys_and_values_are_texts(rsp_config *config) {
    CHECK_STATUS(RSP_OK, rsp_config_set(config, "pool", "name=", 4, MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_config_set(config, "password", TEXT(""), MESSAGE));
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_config_set(config, "hots", TEXT("x"), MESSAGE));
    CHECK(strstr(message, "hots") == message && strstr(message, "host") != NULL);
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_config_set(config, "host", "a\0b", 3, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_config_set(config, "host", TEXT("\xff"), MESSAGE));
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_config_set(config, "\xff", TEXT("x"), MESSAGE));
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_config_set(config, "password", "hunter2\0", 8, MESSAGE));
    CHECK(strstr(message, "hunter2") == NULL);
}

/* A forgotten length is no empty text, and an absurd one is refused before a byte is read. */
static void wrong_lengths_are_refused(rsp_config *config) {
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_config_set(config, "host", "x", 0, MESSAGE));
    CHECK(strstr(message, "value has the length 0") == message);
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_config_set(config, "password", "", 0, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_config_set(config, "host", "x", SIZE_MAX - 1, MESSAGE));
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_config_dsn(config, "host=x", 0, MESSAGE));
}

static void connection_strings_set_keys(rsp_config *config) {
    static const char url[] = "postgres://ada:secret@db.example:5433/shop?sslmode=verify-full";
    CHECK_STATUS(RSP_OK, rsp_config_dsn(config, TEXT(url), MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_config_dsn(config, url, sizeof url - 1, MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_config_dsn(config, TEXT(""), MESSAGE));
    CHECK_STATUS(RSP_INVALID_CONFIG,
                 rsp_config_dsn(config, TEXT("postgres://ada:hunter2@db:port/"), MESSAGE));
    CHECK(strstr(message, "dsn") == message && strstr(message, "hunter2") == NULL);
}

/* The variables of libpq are read when that is asked for, and not before. */
static void the_environment_is_read_on_request(void) {
    rsp_config *config = NULL;
    CHECK(setenv("PGPORT", "not a port", 1) == 0);
    CHECK_STATUS(RSP_OK, rsp_config_new(&config, MESSAGE));
    rsp_storage_free(storage_of(config));
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_config_environment(config, MESSAGE));
    CHECK(strstr(message, "PGPORT") == message);
    CHECK(setenv("PGPORT", "1", 1) == 0);
    CHECK_STATUS(RSP_OK, rsp_config_environment(config, MESSAGE));
    set_key(config, "connect_timeout", "100");
    {
        rsp_storage *storage = storage_of(config);
        expect_failure(RSP_NO_CONNECTION, storage, "key");
        CHECK(strstr(message, "127.0.0.1:1 ") != NULL);
        rsp_storage_free(storage);
    }
    rsp_config_free(config);
    unsetenv("PGPORT");
}

static void null_is_refused(rsp_config *config) {
    rsp_storage *storage = POISON(rsp_storage);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_new(NULL, MESSAGE));
    CHECK(strcmp(message, "config_out is NULL") == 0);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_set(NULL, "host", TEXT("x"), MESSAGE));
    CHECK(strcmp(message, "config is NULL") == 0);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_set(config, NULL, TEXT("x"), MESSAGE));
    CHECK(strcmp(message, "key is NULL") == 0);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_set(config, "host", NULL, 0, MESSAGE));
    CHECK(strcmp(message, "value is NULL") == 0);
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_dsn(NULL, TEXT(""), MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_dsn(config, NULL, 1, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_config_environment(NULL, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_storage_new(config, NULL, MESSAGE));
    CHECK(strcmp(message, "storage_out is NULL") == 0);
    rsp_config_free(NULL);

    /* No configuration is the default one. */
    CHECK_STATUS(RSP_OK, rsp_storage_new(NULL, &storage, MESSAGE));
    CHECK(storage != POISON(rsp_storage) && storage != NULL);
    rsp_storage_free(storage);
}

static void messages_fit_their_buffers(rsp_config *config) {
    char buffer[64];
    size_t size, i;
    for (size = 0; size < sizeof buffer; size++) {
        memset(buffer, 'x', sizeof buffer);
        CHECK(rsp_config_set(config, "ssl", TEXT("na\xc3\xafve \xf0\x9f\xa6\x80"),
                             buffer, size) == RSP_INVALID_CONFIG);
        for (i = size; i < sizeof buffer; i++) {
            CHECK(buffer[i] == 'x');
        }
        if (size > 0) {
            size_t length = strlen(buffer);
            CHECK(length < size);
            /* Never a part of a character. */
            CHECK(length == 0 || (unsigned char)buffer[length - 1] < 0x80 ||
                  memcmp(buffer + length - 2, "\xc3\xaf", 2) == 0 ||
                  memcmp(buffer + length - 4, "\xf0\x9f\xa6\x80", 4) == 0);
        }
    }
    CHECK(rsp_config_set(config, "ssl", TEXT("x"), NULL, 0) == RSP_INVALID_CONFIG);
    CHECK(rsp_config_set(config, "ssl", TEXT("x"), NULL, 64) == RSP_INVALID_CONFIG);
    /* Success does not write a message. */
    memset(buffer, 'x', sizeof buffer);
    CHECK(rsp_config_set(config, "ssl", TEXT("on"), buffer, sizeof buffer) == RSP_OK);
    CHECK(buffer[0] == 'x');
}

static void contradictions_are_refused(void) {
    rsp_config *config = NULL;
    rsp_storage *storage = POISON(rsp_storage);
    CHECK_STATUS(RSP_OK, rsp_config_new(&config, MESSAGE));
    set_key(config, "port", "1,2,3");
    CHECK_STATUS(RSP_INVALID_CONFIG, rsp_storage_new(config, &storage, MESSAGE));
    CHECK(strstr(message, "port") == message);
    CHECK(storage == POISON(rsp_storage));
    /* The configuration is usable still. */
    set_key(config, "port", "1");
    rsp_storage_free(storage_of(config));
    rsp_storage_free(storage_of(config));
    rsp_config_free(config);
}

int main(void) {
    rsp_config *config = NULL;
    versions_agree();
    statuses_keep_their_numbers();
    CHECK_STATUS(RSP_OK, rsp_config_new(&config, MESSAGE));
    keys_and_values_are_texts(config);
    null_is_refused(config);
    wrong_lengths_are_refused(config);
    connection_strings_set_keys(config);
    messages_fit_their_buffers(config);
    rsp_config_free(config);
    contradictions_are_refused();
    the_environment_is_read_on_request();
    return 0;
}
