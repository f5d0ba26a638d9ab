/*
 * The four operations, each blocking until PostgreSQL has answered.
 *
 *     cc -o blocking blocking.c $(pkg-config --cflags --libs resty-session-postgres)
 *     ./blocking 127.0.0.1 5432 sessions
 */

#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every call that can fail gives a status, and a message to a buffer of ours. */
static char message[256];

static void check(const char *what, rsp_status status) {
    if (status != RSP_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, rsp_status_name(status), message);
        exit(1);
    }
}

static void configure(rsp_config *config, const char *key, const char *value) {
    check(key, rsp_config_set(config, key, strlen(key), value, strlen(value), message,
                              sizeof message));
}

static rsp_storage *open_storage(char **argv) {
    rsp_config *config;
    rsp_storage *storage;
    check("config", rsp_config_new(&config));
    configure(config, "host", argv[1]);
    configure(config, "port", argv[2]);
    configure(config, "database", argv[3]);
    check("storage", rsp_storage_new(config, &storage, message, sizeof message));
    rsp_config_free(config);
    return storage;
}

static void save(const rsp_storage *storage, const char *key, const char *value) {
    rsp_pair owner = {"shop", 4, "ada", 3};
    rsp_set set;
    check("set", rsp_set_init(&set, sizeof set));
    set.name = "session";
    set.name_len = strlen("session");
    set.key = key;
    set.key_len = strlen(key);
    set.value = value;
    set.value_len = strlen(value);
    set.ttl_s = 3600;
    set.metadata = &owner;
    set.metadata_len = 1;
    check("set", rsp_storage_set(storage, &set, message, sizeof message));
    puts("saved");
}

static void show(const rsp_storage *storage, const char *key) {
    rsp_bytes *value;
    check("get", rsp_storage_get(storage, key, strlen(key), RSP_NOW, &value, message,
                                 sizeof message));
    if (value == NULL) {
        puts("gone");
    } else {
        printf("found: %s\n", rsp_bytes_data(value));
    }
    rsp_bytes_free(value);
}

static void list(const rsp_storage *storage) {
    rsp_metadata *sessions;
    size_t i;
    check("read_metadata", rsp_storage_read_metadata(storage, "shop", 4, "ada", 3, RSP_NOW,
                                                     &sessions, message, sizeof message));
    printf("%lu session(s)\n", (unsigned long)rsp_metadata_len(sessions));
    for (i = 0; i < rsp_metadata_len(sessions); i++) {
        const char *key;
        int64_t expires_s;
        check("metadata", rsp_metadata_get(sessions, i, &key, NULL, &expires_s));
        printf("  %s ends at %ld\n", key, (long)expires_s);
    }
    rsp_metadata_free(sessions);
}

int main(int argc, char **argv) {
    const char *key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ";
    rsp_storage *storage;
    if (argc != 4) {
        fprintf(stderr, "usage: %s HOST PORT DATABASE\n", argv[0]);
        return 2;
    }
    storage = open_storage(argv);
    save(storage, key, "{\"visits\":1}");
    show(storage, key);
    list(storage);
    check("delete", rsp_storage_delete(storage, key, strlen(key), message, sizeof message));
    puts("deleted");
    show(storage, key);
    rsp_storage_free(storage);
    return 0;
}
