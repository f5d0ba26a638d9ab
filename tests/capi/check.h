/* What the C tests share: checks that say where, texts with their lengths, the test's database. */

#ifndef CHECK_H
#define CHECK_H

#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* A call whose status is to be another one shows its message. */
#define CHECK_STATUS(expected, call)                                           \
    do {                                                                       \
        uint32_t status_;                                                      \
        message[0] = '\0';                                                     \
        status_ = (call);                                                      \
        if (status_ != (expected)) {                                           \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,  \
                    rsp_status_name(status_), message);                        \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* A text and its length, as two arguments. */
#define TEXT(text) (text), RSP_NUL_TERMINATED
/* A buffer and its size, as two arguments. */
#define MESSAGE message, sizeof message

/* A pointer that must not be written to or followed. */
#define POISON(type) ((type *)(uintptr_t)0x5a5a5a50u)

static char message[512];

static inline void set_key(rsp_config *config, const char *key, const char *value) {
    CHECK_STATUS(RSP_OK, rsp_config_set(config, key, TEXT(value), MESSAGE));
}

/* A configuration for the database that the command line names: HOST PORT DATABASE. */
static inline rsp_config *test_config(char **argv) {
    rsp_config *config = NULL;
    CHECK_STATUS(RSP_OK, rsp_config_new(&config, MESSAGE));
    set_key(config, "host", argv[1]);
    set_key(config, "port", argv[2]);
    set_key(config, "database", argv[3]);
    if (getenv("PGPASSWORD") != NULL) {
        set_key(config, "password", getenv("PGPASSWORD"));
    }
    /* Programs are slow under valgrind. */
    set_key(config, "connect_timeout", "60000");
    set_key(config, "read_timeout", "60000");
    return config;
}

static inline rsp_storage *storage_of(const rsp_config *config) {
    rsp_storage *storage = NULL;
    CHECK_STATUS(RSP_OK, rsp_storage_new(config, &storage, MESSAGE));
    CHECK(storage != NULL);
    return storage;
}

static inline rsp_storage *test_storage(char **argv) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage = storage_of(config);
    rsp_config_free(config);
    return storage;
}

static inline rsp_request *request_for(const char *operation) {
    rsp_request *request = NULL;
    CHECK_STATUS(RSP_OK, rsp_request_new(operation, &request, MESSAGE));
    CHECK(request != NULL);
    return request;
}

static inline void set_text(rsp_request *request, const char *parameter, const char *text) {
    CHECK_STATUS(RSP_OK, rsp_request_text(request, parameter, TEXT(text), MESSAGE));
}

static inline void set_number(rsp_request *request, const char *parameter, double number) {
    CHECK_STATUS(RSP_OK, rsp_request_number(request, parameter, number, MESSAGE));
}

/* A request for a get, or another operation with a key. */
static inline rsp_request *request_for_key(const char *operation, const char *key) {
    rsp_request *request = request_for(operation);
    set_text(request, "key", key);
    return request;
}

/* A request for a set of a session that lives for a minute. */
static inline rsp_request *request_for_set(const char *key, const char *value) {
    rsp_request *request = request_for_key("set", key);
    set_text(request, "name", "session");
    set_text(request, "value", value);
    set_number(request, "ttl", 60);
    return request;
}

/* Carries a request out, which has to succeed. */
static inline rsp_completion *call(const rsp_storage *storage, const rsp_request *request) {
    rsp_completion *completion = POISON(rsp_completion);
    CHECK_STATUS(RSP_OK, rsp_call(storage, request, &completion, MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    return completion;
}

/* The same with a request that is freed and an answer that is not read. */
static inline void run(const rsp_storage *storage, rsp_request *request) {
    CHECK_STATUS(RSP_OK, rsp_call(storage, request, NULL, MESSAGE));
    rsp_request_free(request);
}

static inline void save(const rsp_storage *storage, const char *key, const char *value) {
    CHECK_STATUS(RSP_OK, rsp_set(storage, TEXT("session"), TEXT(key), TEXT(value), 60, MESSAGE));
}

/* The value of a completion; NULL if there is to be none. */
static inline void expect(const rsp_completion *completion, const char *value) {
    size_t len = 99;
    const char *found = rsp_completion_value(completion, &len);
    CHECK(rsp_completion_found(completion) == (value != NULL));
    if (value == NULL) {
        CHECK(found == NULL && len == 99);
    } else {
        CHECK(found != NULL && len == strlen(value) && strcmp(found, value) == 0);
        CHECK(rsp_completion_value(completion, NULL) == found);
    }
}

static inline void expect_value(const rsp_storage *storage, const char *key, const char *value) {
    rsp_completion *completion = POISON(rsp_completion);
    CHECK_STATUS(RSP_OK, rsp_get(storage, TEXT(key), &completion, MESSAGE));
    expect(completion, value);
    rsp_completion_free(completion);
}

/* A get that fails with that status. */
static inline void expect_failure(rsp_status status, const rsp_storage *storage, const char *key) {
    rsp_completion *completion = POISON(rsp_completion);
    CHECK_STATUS(status, rsp_get(storage, TEXT(key), &completion, MESSAGE));
    CHECK(completion == POISON(rsp_completion));
}

#endif
