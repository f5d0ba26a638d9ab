/* The functions for event loops: what the descriptor says, whom a completion belongs to, and which
 * pointers are refused. */

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
    CHECK_STATUS(RSP_OK, rsp_queue_new(&queue));
    CHECK(rsp_queue_fd(queue) >= 0);
    return queue;
}

static rsp_completion *next(const rsp_queue *queue) {
    rsp_completion *completion = POISON(rsp_completion);
    size_t count = 99;
    CHECK(is_readable(queue, 60000));
    CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, &completion, 1, &count));
    CHECK(count == 1 && completion != POISON(rsp_completion));
    return completion;
}

static void every_operation_can_be_submitted(const rsp_storage *storage) {
    const rsp_pair pair = {TEXT("audience"), TEXT("subject")};
    rsp_queue *queue = new_queue();
    rsp_completion *completion;
    rsp_set set = session("submitted", "value");
    uint64_t first = 0, second = 0;
    int mine = 0;

    set.metadata = &pair;
    set.metadata_len = 1;
    CHECK_STATUS(RSP_OK, rsp_storage_submit_set(storage, queue, &set, &mine, &first, MESSAGE));
    completion = next(queue);
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    CHECK(rsp_completion_user(completion) == &mine);
    CHECK(first != 0 && rsp_completion_ticket(completion) == first);
    CHECK(rsp_completion_value(completion) == NULL);
    CHECK(rsp_completion_metadata(completion) == NULL);
    rsp_completion_free(completion);

    CHECK_STATUS(RSP_OK, rsp_storage_submit_get(storage, queue, TEXT("submitted"), RSP_NOW, NULL,
                                                &second, MESSAGE));
    completion = next(queue);
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    CHECK(rsp_completion_user(completion) == NULL);
    CHECK(second != first && rsp_completion_ticket(completion) == second);
    CHECK(rsp_bytes_len(rsp_completion_value(completion)) == 5);
    CHECK(strcmp(rsp_bytes_data(rsp_completion_value(completion)), "value") == 0);
    rsp_completion_free(completion);

    CHECK_STATUS(RSP_OK, rsp_storage_submit_read_metadata(storage, queue, TEXT("audience"),
                                                          TEXT("subject"), RSP_NOW, NULL, NULL,
                                                          MESSAGE));
    completion = next(queue);
    CHECK(rsp_metadata_len(rsp_completion_metadata(completion)) == 1);
    CHECK(rsp_completion_value(completion) == NULL);
    rsp_completion_free(completion);

    CHECK_STATUS(RSP_OK,
                 rsp_storage_submit_delete(storage, queue, TEXT("submitted"), NULL, NULL, MESSAGE));
    rsp_completion_free(next(queue));
    CHECK_STATUS(RSP_OK, rsp_storage_submit_get(storage, queue, TEXT("submitted"), RSP_NOW, NULL,
                                                NULL, MESSAGE));
    completion = next(queue);
    CHECK_STATUS(RSP_OK, rsp_completion_status(completion, MESSAGE));
    CHECK(rsp_completion_value(completion) == NULL);
    rsp_completion_free(completion);
    rsp_queue_free(queue);
}

/* Some are taken, some stay: the descriptor is readable until the last is taken, and not after. */
static void the_descriptor_tells_whether_completions_are_ready(const rsp_storage *storage) {
    enum { MANY = 100 };
    rsp_queue *queue = new_queue();
    rsp_completion *completions[7];
    int seen[MANY] = {0};
    size_t count = 99, i, taken = 0, given = 0;

    CHECK(!is_readable(queue, 0));
    CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 7, &count));
    CHECK(count == 0);
    for (i = 0; i < MANY; i++) {
        CHECK_STATUS(RSP_OK, rsp_storage_submit_get(storage, queue, TEXT("key"), RSP_NOW, &seen[i],
                                                    NULL, MESSAGE));
    }
    while (taken < MANY) {
        CHECK(is_readable(queue, 60000));
        CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 0, &count));
        CHECK(count == 0 && is_readable(queue, 0));
        CHECK_STATUS(RSP_OK, rsp_queue_drain(queue, completions, 7, &count));
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

/* What the backlog has no room for is refused, and nothing comes of it. */
static void a_full_backlog_gives_no_ticket(char **argv) {
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    rsp_queue *queue = new_queue();
    uint64_t ticket = 0;
    size_t accepted = 0;
    set_key(config, "backlog", "32");
    set_key(config, "pool_size", "1");
    set_key(config, "port", "1");
    set_key(config, "connect_timeout", "1000");
    storage = storage_of(config);
    rsp_config_free(config);
    while (rsp_storage_submit_get(storage, queue, TEXT("key"), RSP_NOW, NULL, &ticket, MESSAGE) ==
           RSP_OK) {
        accepted++;
        CHECK(accepted <= 1000);
    }
    CHECK(strstr(message, "backlog") != NULL);
    ticket = 0;
    CHECK_STATUS(RSP_BACKLOG_FULL, rsp_storage_submit_delete(storage, queue, TEXT("key"), NULL,
                                                             &ticket, MESSAGE));
    CHECK(ticket == 0);
    while (accepted-- > 0) {
        rsp_completion *completion = next(queue);
        CHECK_STATUS(RSP_NO_CONNECTION, rsp_completion_status(completion, MESSAGE));
        CHECK(rsp_completion_status(completion, NULL, 0) == RSP_NO_CONNECTION);
        CHECK(strlen(message) > 0 && rsp_completion_value(completion) == NULL);
        rsp_completion_free(completion);
    }
    rsp_queue_free(queue);
    rsp_storage_free(storage);
}

static void null_is_answered(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    rsp_completion *completion = POISON(rsp_completion);
    rsp_set set = session("key", "value");
    size_t count = 99;
    uint64_t ticket = 99;

#define REFUSED(call)                                                          \
    CHECK_STATUS(RSP_NULL_POINTER, (call));                                    \
    CHECK(ticket == 99)
    REFUSED(rsp_storage_submit_set(NULL, queue, &set, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_set(storage, NULL, &set, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_set(storage, queue, NULL, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_get(NULL, queue, TEXT("k"), 1, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_get(storage, NULL, TEXT("k"), 1, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_get(storage, queue, NULL, 1, 1, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_delete(NULL, queue, TEXT("k"), NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_delete(storage, NULL, TEXT("k"), NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_delete(storage, queue, NULL, 1, NULL, &ticket, MESSAGE));
    REFUSED(rsp_storage_submit_read_metadata(NULL, queue, TEXT("a"), TEXT("s"), 1, NULL, &ticket,
                                             MESSAGE));
    REFUSED(rsp_storage_submit_read_metadata(storage, NULL, TEXT("a"), TEXT("s"), 1, NULL, &ticket,
                                             MESSAGE));
    REFUSED(rsp_storage_submit_read_metadata(storage, queue, NULL, 1, TEXT("s"), 1, NULL, &ticket,
                                             MESSAGE));
    REFUSED(rsp_storage_submit_read_metadata(storage, queue, TEXT("a"), NULL, 1, 1, NULL, &ticket,
                                             MESSAGE));
    set.key_len = 0;
    CHECK_STATUS(RSP_INVALID_TEXT,
                 rsp_storage_submit_set(storage, queue, &set, NULL, &ticket, MESSAGE));
    CHECK(ticket == 99);

    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_new(NULL));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(NULL, &completion, 1, &count));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(queue, NULL, 1, &count));
    CHECK_STATUS(RSP_NULL_POINTER, rsp_queue_drain(queue, &completion, 1, NULL));
    CHECK(count == 99 && completion == POISON(rsp_completion));
    CHECK(!is_readable(queue, 0));
    CHECK(rsp_queue_fd(NULL) == -1);
    CHECK(rsp_completion_status(NULL, MESSAGE) == RSP_NULL_POINTER);
    CHECK(rsp_completion_user(NULL) == NULL && rsp_completion_ticket(NULL) == 0);
    CHECK(rsp_completion_value(NULL) == NULL && rsp_completion_metadata(NULL) == NULL);
    rsp_completion_free(NULL);
    rsp_queue_free(NULL);
    rsp_queue_free(queue);
}

/* The child's calls are refused; what the parent waits for comes to the parent. */
static void a_queue_stays_with_its_process(const rsp_storage *storage) {
    rsp_queue *queue = new_queue();
    int answer[2];
    char said = '?';
    pid_t child;
    CHECK_STATUS(RSP_OK, rsp_storage_submit_get(storage, queue, TEXT("key"), RSP_NOW, NULL, NULL,
                                                MESSAGE));
    CHECK(is_readable(queue, 60000));
    CHECK(pipe(answer) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        rsp_completion *completion = POISON(rsp_completion);
        size_t count = 99;
        int ok = rsp_queue_drain(queue, &completion, 1, &count) == RSP_INVALID_ARGUMENT &&
                 rsp_storage_submit_delete(storage, queue, "k", 1, NULL, NULL, MESSAGE) ==
                     RSP_INVALID_ARGUMENT &&
                 strstr(message, "fork") != NULL && count == 99;
        rsp_queue_free(queue);
        /* What the parent's threads had on their stacks is lost here, so valgrind dislikes every
         * child's exit: the answer does not come by its status. */
        _exit(write(answer[1], ok ? "y" : "n", 1) == 1 ? 0 : 1);
    }
    CHECK(read(answer[0], &said, 1) == 1 && said == 'y');
    CHECK(waitpid(child, NULL, 0) == child);
    close(answer[0]);
    close(answer[1]);
    rsp_completion_free(next(queue));
    rsp_queue_free(queue);
}

int main(int argc, char **argv) {
    rsp_storage *storage;
    CHECK(argc == 4);
    storage = test_storage(argv);
    every_operation_can_be_submitted(storage);
    the_descriptor_tells_whether_completions_are_ready(storage);
    a_full_backlog_gives_no_ticket(argv);
    null_is_answered(storage);
    a_queue_stays_with_its_process(storage);
    rsp_storage_free(storage);
    return 0;
}
