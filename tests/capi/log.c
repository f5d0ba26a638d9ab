/* The host's function for log lines. */

#include "check.h"
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct lines {
    int started, lost, others;
};

static void take(void *user, rsp_log_level level, const char *text) {
    struct lines *lines = (struct lines *)user;
    if (level == RSP_LOG_LEVEL_INFO && strstr(text, "started") != NULL) {
        lines->started++;
    } else if (level == RSP_LOG_LEVEL_ERROR && strstr(text, "no connection to ") != NULL) {
        lines->lost++;
    } else {
        lines->others++;
    }
    CHECK(strstr(text, "secret") == NULL);
}

/* Nothing listens on that port. */
static void fail(char **argv, const char *port) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    set_key(config, "port", port);
    set_key(config, "password", "secret");
    set_key(config, "connect_timeout", "3000");
    storage = storage_of(config);
    rsp_config_free(config);
    expect_failure(RSP_NO_CONNECTION, storage, "secret key");
    rsp_storage_free(storage);
}

static size_t waiting(void) {
    rsp_log *log = rsp_log_take();
    size_t count = 0;
    while (rsp_log_line(log, count, NULL) != NULL) {
        count++;
    }
    rsp_log_free(log);
    return count;
}

int main(int argc, char **argv) {
    struct lines first = {0, 0, 0}, second = {0, 0, 0};
    pid_t child;
    int status = 0;
    CHECK(argc == 4);

    rsp_log_set_function(take, &first);
    fail(argv, "1");
    CHECK(first.started == 1 && first.lost == 1 && first.others == 0);
    CHECK(waiting() == 0);

    /* A child keeps the function, and has an engine of its own. */
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fail(argv, "1");
        CHECK(first.started == 2 && first.lost == 2);
        /* What it has of its parent it never frees: valgrind is not to look for that. */
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);

    /* Without a function, lines wait; a new function gets them. */
    rsp_log_set_function(NULL, NULL);
    fail(argv, "2");
    CHECK(first.started == 1 && first.lost == 1 && first.others == 0);
    rsp_log_set_function(take, &second);
    CHECK(second.started == 1 && second.lost == 1 && second.others == 0);
    CHECK(waiting() == 0);
    rsp_log_set_function(NULL, NULL);
    return 0;
}
