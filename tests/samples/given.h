/* What the samples in C use without declaring it. */

#include <poll.h>
#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>

static const char *key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ";
static char message[256];
#define MESSAGE message, sizeof message

static void must(rsp_status status) {
    if (status != RSP_OK) {
        fprintf(stderr, "%s: %s\n", rsp_status_name(status), message);
        exit(1);
    }
}

/* A storage with a session to find, in the database of the environment. */
static rsp_storage *open_storage(void) {
    rsp_config *config;
    rsp_storage *storage;
    must(rsp_config_new(&config, MESSAGE));
    must(rsp_config_environment(config, MESSAGE));
    must(rsp_storage_new(config, &storage, MESSAGE));
    rsp_config_free(config);
    must(rsp_set(storage, "session", 7, key, 43, "{}", 2, 3600, MESSAGE));
    return storage;
}
