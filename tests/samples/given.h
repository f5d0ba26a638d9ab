/* What the samples in C take for granted. */

#include <poll.h>
#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ";
static const size_t key_len = 43;

static void must(rsp_status status) {
    if (status != RSP_OK) {
        fprintf(stderr, "%s\n", rsp_status_name(status));
        exit(1);
    }
}

/* The sample's configuration, led to the database of the tests, with a session to find. */
static rsp_status storage_new_here(const rsp_config *given, rsp_storage **out, char *message,
                                   size_t size) {
    static const char *const settings[][2] = {
        {"host", "127.0.0.1"}, {"port", PORT}, {"database", DATABASE}};
    rsp_config *config = (rsp_config *)given;
    rsp_status status;
    rsp_set set;
    size_t i;
    if (given == NULL)
        must(rsp_config_new(&config));
    for (i = 0; i < 3; i++)
        must(rsp_config_set(config, settings[i][0], strlen(settings[i][0]), settings[i][1],
                            strlen(settings[i][1]), message, size));
    status = rsp_storage_new(config, out, message, size);
    if (given == NULL)
        rsp_config_free(config);
    must(rsp_set_init(&set, sizeof set));
    set.name = "session";
    set.name_len = 7;
    set.key = key;
    set.key_len = key_len;
    set.value = "{}";
    set.value_len = 2;
    set.ttl_s = 3600;
    must(rsp_storage_set(*out, &set, message, size));
    return status;
}
#define rsp_storage_new storage_new_here
