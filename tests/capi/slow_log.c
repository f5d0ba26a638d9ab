/* A log function that waits for the host, which calls the library meanwhile. */

#include "check.h"
#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* The line to wait with, whether that line is being written, and whether it may end. */
static const char *awaited = "";
static int is_writing, may_end, was_late;

static struct timespec in_seconds(int seconds) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += seconds;
    return at;
}

static void stall(void *user, rsp_log_level level, const char *text) {
    struct timespec end = in_seconds(10);
    (void)user;
    (void)level;
    CHECK(pthread_mutex_lock(&lock) == 0);
    if (strstr(text, awaited) != NULL && !may_end) {
        is_writing = 1;
        pthread_cond_broadcast(&changed);
        while (!may_end && pthread_cond_timedwait(&changed, &lock, &end) == 0) {
        }
        was_late |= !may_end;
    }
    pthread_mutex_unlock(&lock);
}

/* The next line with these words waits for `let_end`. */
static void expect_line(const char *words) {
    CHECK(pthread_mutex_lock(&lock) == 0);
    awaited = words;
    is_writing = may_end = 0;
    pthread_mutex_unlock(&lock);
}

static void await_line(void) {
    struct timespec end = in_seconds(30);
    CHECK(pthread_mutex_lock(&lock) == 0);
    while (!is_writing) {
        CHECK(pthread_cond_timedwait(&changed, &lock, &end) == 0);
    }
    pthread_mutex_unlock(&lock);
}

static void let_end(void) {
    CHECK(pthread_mutex_lock(&lock) == 0);
    CHECK(!was_late);
    may_end = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* A storage with the test's configuration and more keys. */
static rsp_storage *storage_with(char **argv, const char *const (*keys)[2], size_t count) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    size_t i;
    for (i = 0; i < count; i++) {
        set_key(config, keys[i][0], keys[i][1]);
    }
    storage = storage_of(config);
    rsp_config_free(config);
    return storage;
}

struct work {
    rsp_storage *storage;
    rsp_queue *queue;
    uint32_t status;
};

static void *submit(void *argument) {
    struct work *work = (struct work *)argument;
    rsp_request *request = request_for_key("get", "key");
    char text[64];
    work->status =
        rsp_submit(work->storage, work->queue, request, NULL, NULL, text, sizeof text);
    rsp_request_free(request);
    return NULL;
}

static void drain(rsp_queue *queue) {
    rsp_completion *ready[8];
    size_t count = 0, i;
    CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, ready, 8, &count, MESSAGE));
    for (i = 0; i < count; i++) {
        rsp_completion_free(ready[i]);
    }
}

/* What a submitted operation logs keeps no other thread from its queue. */
static void queues(char **argv) {
    /* Nothing listens on that port. */
    static const char *const keys[][2] = {
        {"port", "1"}, {"backlog", "1"}, {"pool_size", "1"}, {"connect_timeout", "60000"}};
    struct work work;
    pthread_t thread;
    work.storage = storage_with(argv, keys, 4);
    CHECK_STATUS(RSP_OK, rsp_queue_new(&work.queue, MESSAGE));

    expect_line("started, with");
    CHECK(pthread_create(&thread, NULL, submit, &work) == 0);
    await_line();
    drain(work.queue);
    let_end();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(work.status == RSP_OK);

    submit(&work);
    CHECK(work.status == RSP_OK);
    expect_line("the backlog of 1 operations");
    CHECK(pthread_create(&thread, NULL, submit, &work) == 0);
    await_line();
    drain(work.queue);
    let_end();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(work.status == RSP_BACKLOG_FULL);

    rsp_queue_free(work.queue);
    rsp_storage_free(work.storage);
}

static void *configure(void *argument) {
    static const char *const keys[][2] = {{"ssl_verify", "true"}};
    rsp_storage_free(storage_with((char **)argument, keys, 1));
    return NULL;
}

/* What a configuration logs keeps no other thread from an equal one. */
static void configurations(char **argv) {
    pthread_t thread;
    expect_line("TLS is off");
    CHECK(pthread_create(&thread, NULL, configure, argv) == 0);
    await_line();
    configure(argv);
    let_end();
    CHECK(pthread_join(thread, NULL) == 0);
}

/* What the clean-up logs keeps no operation waiting, of the same tables or of others. */
static void clean_ups(char **argv) {
    static const char *const keys[][2] = {
        {"cleanup_interval", "50"}, {"connect_timeout", "30000"}, {"table_name", "nowhere"}};
    rsp_storage *one = storage_with(argv, keys, 3), *other = storage_with(argv, keys, 2);
    expect_line("no clean-up: ");
    expect_failure(RSP_DATABASE, one, "key");
    await_line();
    expect_failure(RSP_DATABASE, one, "key");
    save(other, "key", "value");
    let_end();
    rsp_storage_free(one);
    rsp_storage_free(other);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    rsp_log_set_function(stall, NULL);
    configurations(argv);
    queues(argv);
    clean_ups(argv);
    expect_line("nothing");
    rsp_log_set_function(NULL, NULL);
    return 0;
}
