/* Handles may be freed in any order: every permutation of five of them, with operations under way. */

#include "check.h"

enum { CONFIG, STORAGE, QUEUE, REQUEST, COMPLETION, HANDLES };

typedef struct {
    rsp_config *config;
    rsp_storage *storage;
    rsp_queue *queue;
    rsp_request *request;
    rsp_completion *completion;
} handles;

static void make(handles *all, char **argv) {
    size_t count = 0;
    int i;
    all->config = test_config(argv);
    all->storage = storage_of(all->config);
    all->request = request_for_key("get", "key");
    CHECK_STATUS(RSP_OK, rsp_queue_new(&all->queue, MESSAGE));
    for (i = 0; i < 4; i++) {
        CHECK_STATUS(RSP_OK, rsp_submit(all->storage, all->queue, all->request, NULL, NULL, MESSAGE));
    }
    /* One is taken; the others are under way, or ready, when the queue and the storage go. */
    while (count == 0) {
        CHECK_STATUS(RSP_OK, rsp_queue_drain(all->queue, &all->completion, 1, &count, MESSAGE));
    }
}

static void let_go(handles *all, int handle) {
    switch (handle) {
    case CONFIG: rsp_config_free(all->config); break;
    case STORAGE: rsp_storage_free(all->storage); break;
    case QUEUE: rsp_queue_free(all->queue); break;
    case REQUEST: rsp_request_free(all->request); break;
    case COMPLETION:
        CHECK(rsp_completion_status(all->completion, MESSAGE) == RSP_OK);
        expect(all->completion, "value");
        rsp_completion_free(all->completion);
        break;
    }
}

static int orders;

static void permute(int *order, int from, char **argv) {
    int i;
    if (from == HANDLES) {
        handles all;
        make(&all, argv);
        for (i = 0; i < HANDLES; i++) {
            let_go(&all, order[i]);
        }
        orders++;
        return;
    }
    for (i = from; i < HANDLES; i++) {
        int swapped = order[from];
        order[from] = order[i];
        order[i] = swapped;
        permute(order, from + 1, argv);
        order[i] = order[from];
        order[from] = swapped;
    }
}

int main(int argc, char **argv) {
    int order[HANDLES] = {CONFIG, STORAGE, QUEUE, REQUEST, COMPLETION};
    rsp_storage *storage;
    CHECK(argc == 4);
    storage = test_storage(argv);
    save(storage, "key", "value");
    rsp_storage_free(storage);
    permute(order, 0, argv);
    CHECK(orders == 120);
    return 0;
}
