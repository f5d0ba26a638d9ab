/* 16 threads at once on one storage and one queue. */

#include "check.h"
#include <poll.h>
#include <pthread.h>

enum { THREADS = 16, ROUNDS = 10 };

static rsp_storage *storage;
static rsp_queue *queue;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int completed[THREADS];
static int all_completed;

/* A thread's own message: check.h's is shared by all. */
#define OWN own, sizeof own
#define CHECK_OWN(call)                                                        \
    do {                                                                       \
        uint32_t status_ = (call);                                             \
        if (status_ != RSP_OK) {                                               \
            fprintf(stderr, "%s: %s: %s\n", #call, rsp_status_name(status_), own); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* Takes what is ready, whoever has submitted it. */
static void drain(void) {
    rsp_completion *taken[4];
    struct pollfd descriptor;
    char own[512];
    size_t count = 0, i;
    descriptor.fd = rsp_queue_fd(queue);
    descriptor.events = POLLIN;
    poll(&descriptor, 1, 5);
    CHECK(rsp_queue_drain(queue, taken, 4, &count) == RSP_OK);
    for (i = 0; i < count; i++) {
        const rsp_bytes *value = rsp_completion_value(taken[i]);
        CHECK_OWN(rsp_completion_status(taken[i], OWN));
        CHECK(rsp_bytes_len(value) > 0);
        CHECK(pthread_mutex_lock(&lock) == 0);
        completed[(int *)rsp_completion_user(taken[i]) - completed]++;
        all_completed++;
        CHECK(pthread_mutex_unlock(&lock) == 0);
        rsp_completion_free(taken[i]);
    }
}

static int is_done(void) {
    int done;
    CHECK(pthread_mutex_lock(&lock) == 0);
    done = all_completed == THREADS * ROUNDS;
    CHECK(pthread_mutex_unlock(&lock) == 0);
    return done;
}

static void *run(void *argument) {
    int *mine = (int *)argument;
    char own[512], key[32], value[32];
    int round;
    for (round = 0; round < ROUNDS; round++) {
        rsp_bytes *found = NULL;
        rsp_set set;
        snprintf(key, sizeof key, "thread %d", (int)(mine - completed));
        snprintf(value, sizeof value, "%d", round);
        set = session(key, value);
        CHECK_OWN(rsp_storage_set(storage, &set, OWN));
        CHECK_OWN(rsp_storage_get(storage, TEXT(key), RSP_NOW, &found, OWN));
        CHECK(strcmp(rsp_bytes_data(found), value) == 0);
        rsp_bytes_free(found);
        CHECK_OWN(rsp_storage_submit_get(storage, queue, TEXT(key), RSP_NOW, mine, NULL, OWN));
        drain();
    }
    while (!is_done()) {
        drain();
    }
    CHECK_OWN(rsp_storage_delete(storage, TEXT(key), OWN));
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    int i;
    CHECK(argc == 4);
    storage = test_storage(argv);
    CHECK_STATUS(RSP_OK, rsp_queue_new(&queue));
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, run, &completed[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(completed[i] == ROUNDS);
    }
    rsp_queue_free(queue);
    rsp_storage_free(storage);
    return 0;
}
