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

/* Takes what is ready, also what other threads have submitted. */
static void drain(void) {
    rsp_completion *taken[4];
    struct pollfd descriptor;
    char own[512];
    size_t count = 0, i;
    descriptor.fd = rsp_queue_fd(queue);
    descriptor.events = POLLIN;
    poll(&descriptor, 1, 5);
    CHECK(rsp_queue_drain(queue, taken, 4, &count, OWN) == RSP_OK);
    for (i = 0; i < count; i++) {
        CHECK_OWN(rsp_completion_status(taken[i], OWN));
        CHECK(rsp_completion_found(taken[i]));
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

static void *work(void *argument) {
    int *mine = (int *)argument;
    char own[512], key[32], value[32];
    rsp_request *request = NULL;
    int round;
    snprintf(key, sizeof key, "thread %d", (int)(mine - completed));
    CHECK_OWN(rsp_request_new("get", &request, OWN));
    CHECK_OWN(rsp_request_text(request, "key", TEXT(key), OWN));
    for (round = 0; round < ROUNDS; round++) {
        rsp_completion *found = NULL;
        snprintf(value, sizeof value, "%d", round);
        CHECK_OWN(rsp_set(storage, TEXT("session"), TEXT(key), TEXT(value), 60, OWN));
        CHECK_OWN(rsp_call(storage, request, &found, OWN));
        expect(found, value);
        rsp_completion_free(found);
        CHECK_OWN(rsp_submit(storage, queue, request, mine, NULL, OWN));
        drain();
    }
    rsp_request_free(request);
    while (!is_done()) {
        drain();
    }
    CHECK_OWN(rsp_delete(storage, TEXT(key), OWN));
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    int i;
    CHECK(argc == 4);
    storage = test_storage(argv);
    CHECK_STATUS(RSP_OK, rsp_queue_new(&queue, MESSAGE));
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, &completed[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(completed[i] == ROUNDS);
    }
    rsp_queue_free(queue);
    rsp_storage_free(storage);
    return 0;
}
