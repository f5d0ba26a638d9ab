/* Queues: when the descriptor is readable, which call a completion belongs to, and which pointers are
 * refused. */

#include "check.h"
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_readable(const rsp_queue *queue, int timeout_ms) {
    struct pollfd descriptor;
    int count;
    descriptor.fd = rsp_queue_fd(queue);
    descriptor.events = POLLIN;
    descriptor.revents = 0;
    do {
        count = poll(&descriptor, 1, timeout_ms);
    } while (count < 0 && errno == EINTR);
    CHECK(count >= 0);
    return count == 1;
}

static rsp_queue *new_queue(void) {
    rsp_queue *queue = NULL;
    CHECK_STATUS(RSP_OK, rsp_queue_new(&queue, MESSAGE));
    CHECK(rsp_queue_fd(queue) >= 0);
    return queue;
}

static rsp_completion *next(const rsp_queue *queue) {
    rsp_completion *completion = POISON(rsp_completion);
    size_t count = 99;
    CHECK(is_readable(queue, 60000));
    CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, &completion, 1, &count, MESSAGE));
    CHECK(count == 1 && completion != POISON(rsp_completion));
    return completion;
}

static void a_submitted_list_says_that_its_limit_has_ended_it(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    rsp_completion *completion;
    rsp_request *list = request_for("list");
    double limit;
    save(storage, "one", "value");
    save(storage, "two", "value");
    for (limit = 1; limit <= 3; limit++) {
        set_number(list, "limit", limit);
        CHECK_STATUS(RSP_OK, rsp_submit(storage, queue, list, NULL, NULL, MESSAGE));
        completion = next(queue);
        CHECK(rsp_completion_limited(completion) == (limit < 3));
        rsp_completion_free(completion);
    }
    rsp_request_free(list);
    CHECK_STATUS(RSP_OK, rsp_delete(storage, TEXT("one"), MESSAGE));
    CHECK_STATUS(RSP_OK, rsp_delete(storage, TEXT("two"), MESSAGE));
    rsp_queue_free(queue);
}

static void a_completion_says_which_call_it_belongs_to(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    rsp_completion *completion;
    rsp_request *set = request_for_set("submitted", "value");
    rsp_request *get = request_for_key("get", "submitted");
    uint64_t first = 0, second = 0;
    int mine = 0;

    CHECK_STATUS(RSP_OK, rsp_submit(storage, queue, set, &mine, &first, MESSAGE));
    rsp_request_free(set);
    completion = next(queue);
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    CHECK(rsp_completion_user(completion) == &mine);
    CHECK(first != 0 && rsp_completion_ticket(completion) == first);
    CHECK(rsp_completion_value(completion, NULL) == NULL);
    CHECK(rsp_completion_sessions(completion) == 0 && rsp_completion_count(completion) == 0);
    rsp_completion_free(completion);

    CHECK_STATUS(RSP_OK, rsp_submit(storage, queue, get, NULL, &second, MESSAGE));
    rsp_request_free(get);
    completion = next(queue);
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    CHECK(rsp_completion_user(completion) == NULL);
    CHECK(second != first && rsp_completion_ticket(completion) == second);
    expect(completion, "value");
    rsp_completion_free(completion);
    rsp_queue_free(queue);
}

/* It is readable until the last completion is taken, and not after. */
static void the_descriptor_is_readable_while_completions_are_ready(const rsp_storage *storage) {
    enum { MANY = 100 };
    rsp_queue *queue = new_queue();
    rsp_request *request = request_for_key("get", "key");
    rsp_completion *completions[7];
    int seen[MANY] = {0};
    size_t count = 99, i, taken = 0, given = 0;

    CHECK(!is_readable(queue, 0));
    CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 7, &count, MESSAGE));
    CHECK(count == 0);
    for (i = 0; i < MANY; i++) {
        CHECK_STATUS(RSP_OK, rsp_submit(storage, queue, request, &seen[i], NULL, MESSAGE));
    }
    rsp_request_free(request);
    while (taken < MANY) {
        CHECK(is_readable(queue, 60000));
        CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 0, &count, MESSAGE));
        CHECK(count == 0 && is_readable(queue, 0));
        CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 7, &count, MESSAGE));
        CHECK(count >= 1 && count <= 7);
        for (i = 0; i < count; i++) {
            CHECK_STATUS(RSP_OK, rsp_completion_status(completions[i], MESSAGE));
            ++*(int *)rsp_completion_user(completions[i]);
            rsp_completion_free(completions[i]);
        }
        taken += count;
    }
    CHECK(taken == MANY && !is_readable(queue, 0));
    for (i = 0; i < MANY; i++) {
        given += seen[i] == 1;
    }
    CHECK(given == MANY);
    rsp_queue_free(queue);
}

/* What the backlog has no room for is refused, and has no completion. */
static void a_full_backlog_gives_no_ticket(char **argv) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    rsp_queue *queue = new_queue();
    rsp_request *request = request_for_key("get", "key");
    uint64_t ticket = 0;
    size_t accepted = 0;
    set_key(config, "backlog", "32");
    set_key(config, "pool_size", "1");
    set_key(config, "port", "1");
    set_key(config, "connect_timeout", "1000");
    storage = storage_of(config);
    rsp_config_free(config);
    while (rsp_submit(storage, queue, request, NULL, &ticket, MESSAGE) == RSP_OK) {
        accepted++;
        CHECK(accepted <= 1000);
    }
    CHECK(strstr(message, "backlog") != NULL);
    ticket = 0;
    CHECK_STATUS(RSP_BACKLOG_FULL, rsp_submit(storage, queue, request, NULL, &ticket, MESSAGE));
    CHECK(ticket == 0);
    rsp_request_free(request);
    while (accepted-- > 0) {
        rsp_completion *completion = next(queue);
        CHECK_STATUS(RSP_NO_CONNECTION, rsp_completion_status(completion, MESSAGE));
        CHECK(rsp_completion_status(completion, NULL, 0) == RSP_NO_CONNECTION);
        CHECK(strlen(message) > 0);
        expect(completion, NULL);
        rsp_completion_free(completion);
    }
    rsp_queue_free(queue);
    rsp_storage_free(storage);
}

static void null_is_refused(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    rsp_completion *completion = POISON(rsp_completion);
    rsp_request *request = request_for_key("get", "key");
    size_t count = 99;
    uint64_t ticket = 99;

    CHECK_STATUS(RSP_NULL_POINTER, rsp_submit(NULL, queue, request, NULL, &ticket, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_submit(storage, NULL, request, NULL, &ticket, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_submit(storage, queue, NULL, NULL, &ticket, MESSAGE));
    set_text(request, "key", "");
    CHECK_STATUS(RSP_INVALID_TEXT, rsp_submit(storage, queue, request, NULL, &ticket, MESSAGE));
    rsp_request_clear(request);
    CHECK_STATUS(RSP_INVALID_ARGUMENT, rsp_submit(storage, queue, request, NULL, &ticket, MESSAGE));
    rsp_request_free(request);
    CHECK(ticket == 99);

    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_new(NULL, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(NULL, &completion, 1, &count, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(queue, NULL, 1, &count, MESSAGE));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(queue, &completion, 1, NULL, MESSAGE));
    CHECK(count == 99 && completion == POISON(rsp_completion));
    CHECK(!is_readable(queue, 0));
    CHECK(rsp_queue_fd(NULL) == -1);
    CHECK(rsp_completion_user(NULL) == NULL && rsp_completion_ticket(NULL) == 0);
    rsp_queue_free(NULL);
    rsp_queue_free(queue);
}

/* A child's calls are refused; the parent's completions come to the parent. */
static void a_queue_stays_with_its_process(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    rsp_request *request = request_for_key("get", "key");
    int answer[2];
    char said = '?';
    pid_t child;
    CHECK_STATUS(RSP_OK, rsp_submit(storage, queue, request, NULL, NULL, MESSAGE));
    CHECK(is_readable(queue, 60000));
    CHECK(pipe(answer) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        rsp_completion *completion = POISON(rsp_completion);
        size_t count = 99;
        int ok = rsp_queue_drain(queue, &completion, 1, &count, MESSAGE) == RSP_INVALID_ARGUMENT &&
                 strstr(message, "fork") != NULL && count == 99 &&
                 rsp_submit(storage, queue, request, NULL, NULL, MESSAGE) == RSP_INVALID_ARGUMENT &&
                 strstr(message, "fork") != NULL;
        rsp_queue_free(queue);
        /* The stacks of the parent's threads are lost here, so valgrind complains at every child's
         * exit: the child does not answer by its status. */
        _exit(write(answer[1], ok ? "y" : "n", 1) == 1 ? 0 : 1);
    }
    CHECK(read(answer[0], &said, 1) == 1 && said == 'y');
    CHECK(waitpid(child, NULL, 0) == child);
    close(answer[0]);
    close(answer[1]);
    rsp_completion_free(next(queue));
    rsp_request_free(request);
    rsp_queue_free(queue);
}

int main(int argc, char **argv) {
    rsp_storage *storage;
    CHECK(argc == 4);
    storage = test_storage(argv);
    a_submitted_list_says_that_its_limit_has_ended_it(storage);
    a_completion_says_which_call_it_belongs_to(storage);
    the_descriptor_is_readable_while_completions_are_ready(storage);
    a_full_backlog_gives_no_ticket(argv);
    null_is_refused(storage);
    a_queue_stays_with_its_process(storage);
    rsp_storage_free(storage);
    return 0;
}
