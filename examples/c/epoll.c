/*
 * An event loop that holds 1,000 operations in flight on one thread: as soon as one has come back,
 * the next one is submitted, until 10,000 are done.
 *
 *     cc -o epoll epoll.c $(pkg-config --cflags --libs resty-session-postgres)
 *     ./epoll 127.0.0.1 5432 sessions
 */

#include <errno.h>
#include <resty_session_postgres.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { IN_FLIGHT = 1000, OPERATIONS = 10000, AT_ONCE = 64 };

/* One visitor: its session is saved, then read, then saved again, and so on. */
typedef struct {
    char key[32];
    char value[32];
    int saves;
    int reads;
} visitor;

static visitor visitors[IN_FLIGHT];
static rsp_storage *storage;
static rsp_queue *queue;
static long in_flight, most_in_flight, submitted, done;
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

static void open_storage(char **argv) {
    rsp_config *config;
    check("config", rsp_config_new(&config));
    configure(config, "host", argv[1]);
    configure(config, "port", argv[2]);
    configure(config, "database", argv[3]);
    configure(config, "backlog", "1000");
    check("storage", rsp_storage_new(config, &storage, message, sizeof message));
    rsp_config_free(config);
}

/* Returns at once; the visitor comes back with the completion. */
static void submit(visitor *who) {
    if (who->saves == who->reads) {
        rsp_set set;
        snprintf(who->value, sizeof who->value, "{\"visits\":%d}", ++who->saves);
        check("set", rsp_set_init(&set, sizeof set));
        set.name = "session";
        set.name_len = strlen("session");
        set.key = who->key;
        set.key_len = strlen(who->key);
        set.value = who->value;
        set.value_len = strlen(who->value);
        set.ttl_s = 3600;
        check("submit", rsp_storage_submit_set(storage, queue, &set, who, NULL, message,
                                               sizeof message));
    } else {
        who->reads++;
        check("submit", rsp_storage_submit_get(storage, queue, who->key, strlen(who->key), RSP_NOW,
                                               who, NULL, message, sizeof message));
    }
    submitted++;
    in_flight++;
    if (in_flight > most_in_flight) {
        most_in_flight = in_flight;
    }
}

static void complete(rsp_completion *completion) {
    visitor *who = rsp_completion_user(completion);
    const rsp_bytes *value = rsp_completion_value(completion);
    check("operation", rsp_completion_status(completion, message, sizeof message));
    if (who->saves == who->reads && (value == NULL || strcmp(rsp_bytes_data(value), who->value))) {
        fprintf(stderr, "%s holds something else\n", who->key);
        exit(1);
    }
    rsp_completion_free(completion);
    in_flight--;
    done++;
    if (submitted < OPERATIONS) {
        submit(who);
    }
}

static void drain(void) {
    rsp_completion *ready[AT_ONCE];
    size_t count, i;
    check("drain", rsp_queue_drain(queue, ready, AT_ONCE, &count));
    for (i = 0; i < count; i++) {
        complete(ready[i]);
    }
}

static void run(void) {
    struct epoll_event event;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, rsp_queue_fd(queue), &event) != 0) {
        perror("epoll");
        exit(1);
    }
    /* A program would have its sockets and timers here, too. */
    while (in_flight > 0) {
        int ready = epoll_wait(epoll, &event, 1, -1);
        if (ready < 0 && errno != EINTR) {
            perror("epoll_wait");
            exit(1);
        }
        if (ready > 0) {
            drain();
        }
    }
}

int main(int argc, char **argv) {
    time_t start = time(NULL);
    int i;
    if (argc != 4) {
        fprintf(stderr, "usage: %s HOST PORT DATABASE\n", argv[0]);
        return 2;
    }
    open_storage(argv);
    check("queue", rsp_queue_new(&queue));
    for (i = 0; i < IN_FLIGHT; i++) {
        snprintf(visitors[i].key, sizeof visitors[i].key, "visitor-%d", i);
        submit(&visitors[i]);
    }
    run();
    printf("%ld operations in %ld s, %ld in flight at most\n", done, (long)(time(NULL) - start),
           most_in_flight);
    rsp_queue_free(queue);
    rsp_storage_free(storage);
    return 0;
}
