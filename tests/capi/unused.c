/* What was started for a configuration ends when no storage of it is used any more. */

#include "check.h"
#include <dirent.h>
#include <time.h>
#include <unistd.h>

static int threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    CHECK(tasks != NULL);
    while (readdir(tasks) != NULL) {
        count++;
    }
    CHECK(closedir(tasks) == 0);
    return count - 2; /* "." and ".." */
}

static void wait_for_threads(int expected) {
    struct timespec pause;
    int tries;
    pause.tv_sec = 0;
    pause.tv_nsec = 20 * 1000 * 1000;
    for (tries = 0; threads() != expected; tries++) {
        if (tries == 1000) {
            fprintf(stderr, "%d threads instead of %d\n", threads(), expected);
            exit(1);
        }
        nanosleep(&pause, NULL);
    }
}

/* A storage with connections of its own. */
static rsp_storage *storage_named(char **argv, const char *application) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    set_key(config, "application", application);
    set_key(config, "keepalive_timeout", "100");
    storage = storage_of(config);
    rsp_config_free(config);
    save(storage, application, "value");
    return storage;
}

int main(int argc, char **argv) {
    rsp_storage *kept;
    int before, of_one, n;
    CHECK(argc == 4);
    before = threads();
    kept = storage_named(argv, "kept");
    of_one = threads();
    CHECK(of_one > before);
    for (n = 0; n < 5; n++) {
        char name[] = "unused 0";
        name[7] = (char)('0' + n);
        rsp_storage_free(storage_named(argv, name));
    }
    CHECK(threads() > of_one);
    wait_for_threads(of_one);
    expect_value(kept, "unused 4", "value");
    /* One that is needed again is started again. */
    rsp_storage_free(storage_named(argv, "unused 0"));
    wait_for_threads(of_one);
    rsp_storage_free(kept);
    wait_for_threads(before);
    /* One whose password was replaced is kept: its configuration does not have the new one. */
    kept = storage_named(argv, "replaced");
    CHECK_STATUS(RSP_OK, rsp_storage_set_password(kept, TEXT(getenv("PGPASSWORD")), MESSAGE));
    rsp_storage_free(kept);
    of_one = threads();
    sleep(3);
    CHECK(threads() == of_one);
    return 0;
}
