/*
 * An event loop that keeps 1,000 operations in flight on one thread. When one completes, it submits the
 * next, until 10,000 are done.
 *
 *     cc -o epoll epoll.c $(pkg-config --cflags --libs resty-session-postgres)
 *     ./epoll "host=127.0.0.1 port=5432 dbname=sessions user=postgres"
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
/* The two requests are filled anew for each visitor. */
static rsp_request *set, *get;
static long in_flight, most_in_flight, submitted, done;
static char message[256];
#define MESSAGE message, sizeof message

static void check(const char *what, rsp_status status) {
    if (status != RSP_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, rsp_status_name(status), message);
        exit(1);
    }
}

static void prepare(const char *dsn) {
    rsp_config *config;
    check("config", rsp_config_new(&config, MESSAGE));
    check("config", rsp_config_dsn(config, dsn, RSP_NUL_TERMINATED, MESSAGE));
    check("config", rsp_config_set(config, "backlog", "1000", RSP_NUL_TERMINATED, MESSAGE));
    check("storage", rsp_storage_new(config, &storage, MESSAGE));
    rsp_config_free(config);
    check("queue", rsp_queue_new(&queue, MESSAGE));
    check("get", rsp_request_new("get", &get, MESSAGE));
    check("set", rsp_request_new("set", &set, MESSAGE));
    check("set", rsp_request_text(set, "name", "session", RSP_NUL_TERMINATED, MESSAGE));
    check("set", rsp_request_number(set, "ttl", 3600, MESSAGE));
}

/* Returns at once. The completion returns the pointer to the visitor. */
static void submit(visitor *who) {
    rsp_request *request = get;
    if (who->saves == who->reads) {
        request = set;
        snprintf(who->value, sizeof who->value, "{\"visits\":%d}", ++who->saves);
        check("value", rsp_request_text(set, "value", who->value, RSP_NUL_TERMINATED, MESSAGE));
    } else {
        who->reads++;
    }
    check("key", rsp_request_text(request, "key", who->key, RSP_NUL_TERMINATED, MESSAGE));
    check("submit", rsp_submit(storage, queue, request, who, NULL, MESSAGE));
    submitted++;
    in_flight++;
    if (in_flight > most_in_flight) {
        most_in_flight = in_flight;
    }
}

static void complete(rsp_completion *completion) {
    visitor *who = rsp_completion_user(completion);
    const char *value = rsp_completion_value(completion, NULL);
    check("operation", rsp_completion_status(completion, MESSAGE));
    if (who->saves == who->reads && (value == NULL || strcmp(value, who->value))) {
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
    check("drain", rsp_queue_drain(queue, ready, AT_ONCE, &count, MESSAGE));
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
    /* A real program has its sockets and timers in the same loop. */
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
    if (argc != 2) {
        fprintf(stderr, "usage: %s DSN\n", argv[0]);
        return 2;
    }
    prepare(argv[1]);
    for (i = 0; i < IN_FLIGHT; i++) {
        snprintf(visitors[i].key, sizeof visitors[i].key, "visitor-%d", i);
        submit(&visitors[i]);
    }
    run();
    printf("%ld operations in %ld s, %ld in flight at most\n", done, (long)(time(NULL) - start),
           most_in_flight);
    rsp_request_free(set);
    rsp_request_free(get);
    rsp_queue_free(queue);
    rsp_storage_free(storage);
    return 0;
}
