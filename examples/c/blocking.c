/*
 * Saves, reads, lists and deletes a session. Each call blocks until PostgreSQL has answered.
 *
 *     cc -o blocking blocking.c $(pkg-config --cflags --libs resty-session-postgres)
 *     ./blocking "host=127.0.0.1 port=5432 dbname=sessions user=postgres"
 */

#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>

/* Each function that can fail returns a status and writes a message to a buffer of ours. */
static char message[256];
#define MESSAGE message, sizeof message

static void check(const char *what, rsp_status status) {
    if (status != RSP_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, rsp_status_name(status), message);
        exit(1);
    }
}

static rsp_storage *open_storage(const char *dsn) {
    rsp_config *config;
    rsp_storage *storage;
    check("config", rsp_config_new(&config, MESSAGE));
    check("config", rsp_config_dsn(config, dsn, RSP_NUL_TERMINATED, MESSAGE));
    check("storage", rsp_storage_new(config, &storage, MESSAGE));
    rsp_config_free(config);
    return storage;
}

/* An operation with optional arguments is a request, filled by the names of its parameters. */
static void save(const rsp_storage *storage, const char *key, const char *value) {
    rsp_request *set;
    check("set", rsp_request_new("set", &set, MESSAGE));
    check("set", rsp_request_text(set, "name", "session", RSP_NUL_TERMINATED, MESSAGE));
    check("set", rsp_request_text(set, "key", key, RSP_NUL_TERMINATED, MESSAGE));
    check("set", rsp_request_text(set, "value", value, RSP_NUL_TERMINATED, MESSAGE));
    check("set", rsp_request_number(set, "ttl", 3600, MESSAGE));
    check("set", rsp_request_pair(set, "metadata", "shop", RSP_NUL_TERMINATED, "ada",
                                  RSP_NUL_TERMINATED, MESSAGE));
    check("set", rsp_call(storage, set, NULL, MESSAGE));
    rsp_request_free(set);
    puts("saved");
}

static void show(const rsp_storage *storage, const char *key) {
    rsp_completion *completion;
    check("get", rsp_get(storage, key, RSP_NUL_TERMINATED, &completion, MESSAGE));
    if (rsp_completion_found(completion)) {
        printf("found: %s\n", rsp_completion_value(completion, NULL));
    } else {
        puts("gone");
    }
    rsp_completion_free(completion);
}

static void list(const rsp_storage *storage) {
    rsp_request *list;
    rsp_completion *completion;
    size_t i;
    check("list", rsp_request_new("list", &list, MESSAGE));
    check("list", rsp_request_text(list, "audience", "shop", RSP_NUL_TERMINATED, MESSAGE));
    check("list", rsp_request_text(list, "subject", "ada", RSP_NUL_TERMINATED, MESSAGE));
    check("list", rsp_call(storage, list, &completion, MESSAGE));
    rsp_request_free(list);
    printf("%lu session(s)\n", (unsigned long)rsp_completion_sessions(completion));
    for (i = 0; i < rsp_completion_sessions(completion); i++) {
        int64_t expires;
        rsp_completion_session_expires(completion, i, &expires);
        printf("  %s expires at %ld\n", rsp_completion_session_key(completion, i, NULL),
               (long)expires);
    }
    rsp_completion_free(completion);
}

int main(int argc, char **argv) {
    const char *key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ";
    rsp_storage *storage;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DSN\n", argv[0]);
        return 2;
    }
    storage = open_storage(argv[1]);
    save(storage, key, "{\"visits\":1}");
    show(storage, key);
    list(storage);
    check("delete", rsp_delete(storage, key, RSP_NUL_TERMINATED, MESSAGE));
    puts("deleted");
    show(storage, key);
    rsp_storage_free(storage);
    return 0;
}
