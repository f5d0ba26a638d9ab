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
#define TEXT(text) (text), strlen(text)
/* A buffer and its size, as two arguments. */
#define MESSAGE message, sizeof message

/* A pointer that nothing may have written to, and nobody may look behind. */
#define POISON(type) ((type *)(uintptr_t)0x5a5a5a50u)

static char message[512];

static inline void set_key(rsp_config *config, const char *key, const char *value) {
    CHECK_STATUS(RSP_OK, rsp_config_set(config, TEXT(key), TEXT(value), MESSAGE));
}

/* A configuration that leads to the database named by the command line: HOST PORT DATABASE. */
static inline rsp_config *test_config(char **argv) {
    rsp_config *config = NULL;
    CHECK_STATUS(RSP_OK, rsp_config_new(&config));
    set_key(config, "host", argv[1]);
    set_key(config, "port", argv[2]);
    set_key(config, "database", argv[3]);
    /* Under valgrind everything takes its time. */
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

/* A set of a session that lives for a minute. */
static inline rsp_set session(const char *key, const char *value) {
    rsp_set set;
    CHECK(rsp_set_init(&set, sizeof set) == RSP_OK);
    set.name = "session";
    set.name_len = strlen(set.name);
    set.key = key;
    set.key_len = strlen(key);
    set.value = value;
    set.value_len = strlen(value);
    set.ttl_s = 60;
    return set;
}

static inline void save(const rsp_storage *storage, const char *key, const char *value) {
    rsp_set set = session(key, value);
    CHECK_STATUS(RSP_OK, rsp_storage_set(storage, &set, MESSAGE));
}

/* NULL for a value that is not there. */
static inline void expect_value(const rsp_storage *storage, const char *key, const char *value) {
    rsp_bytes *found = POISON(rsp_bytes);
    CHECK_STATUS(RSP_OK, rsp_storage_get(storage, TEXT(key), RSP_NOW, &found, MESSAGE));
    if (value == NULL) {
        CHECK(found == NULL);
    } else {
        CHECK(found != NULL);
        CHECK(rsp_bytes_len(found) == strlen(value));
        CHECK(strcmp(rsp_bytes_data(found), value) == 0);
    }
    rsp_bytes_free(found);
}

#endif
