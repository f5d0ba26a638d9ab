/* A process that has used many storages forks: its children use as many of their own. */

#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STORAGES = 24, FORKS = 4 };

/* Each uses another port, where nothing listens, and has threads of its own. */
static void use_storages(char **argv) {
    int i;
    for (i = 1; i <= STORAGES; i++) {
        rsp_config *config = test_config(argv);
        rsp_storage *storage;
        char port[8];
        snprintf(port, sizeof port, "%d", i);
        set_key(config, "port", port);
        set_key(config, "connect_timeout", "10");
        storage = storage_of(config);
        expect_failure(RSP_NO_CONNECTION, storage, "key");
        rsp_storage_free(storage);
        rsp_config_free(config);
    }
}

/* A child that hangs may have its signals blocked. */
static int ends(pid_t child) {
    int i, status = 0;
    for (i = 0; i < 500; i++) {
        if (waitpid(child, &status, WNOHANG) == child) {
            return WIFEXITED(status) && WEXITSTATUS(status) == 7;
        }
        poll(NULL, 0, 20);
    }
    kill(child, SIGKILL);
    return 0;
}

int main(int argc, char **argv) {
    int i;
    CHECK(argc == 4);
    use_storages(argv);
    for (i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            use_storages(argv);
            _exit(7);
        }
        CHECK(ends(child));
    }
    return 0;
}
