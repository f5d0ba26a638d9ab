/* A password that was replaced is in memory no more. */

#include "check.h"
#include <stdint.h>

#define LENGTH 24

/* The password is never whole in the memory of this program, except where it is passed on. */
static char nth(size_t n) { return (char)('a' + (n * 7 + 3) % 26); }

/* How often it is in the memory that this process may write to. */
static int occurrences(void) {
    FILE *maps = fopen("/proc/self/maps", "r"), *memory = fopen("/proc/self/mem", "r");
    char line[512];
    int found = 0;
    CHECK(maps != NULL && memory != NULL);
    CHECK(setvbuf(memory, NULL, _IONBF, 0) == 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        char may_write;
        char *bytes;
        size_t count, at, n;
        if (sscanf(line, "%lx-%lx r%c", &start, &end, &may_write) != 3 || may_write != 'w') {
            continue;
        }
        bytes = (char *)malloc(end - start);
        CHECK(bytes != NULL);
        CHECK(fseek(memory, (long)start, SEEK_SET) == 0);
        count = fread(bytes, 1, end - start, memory);
        for (at = 0; at + LENGTH <= count; at++) {
            for (n = 0; n < LENGTH && bytes[at + n] == nth(n); n++) {
            }
            found += n == LENGTH;
        }
        memset(bytes, 0, end - start);
        free(bytes);
    }
    CHECK(fclose(maps) == 0 && fclose(memory) == 0);
    return found;
}

static rsp_storage *storage_with_password(char **argv, const char *table) {
    char password[LENGTH];
    rsp_config *config = test_config(argv);
    rsp_storage *storage;
    size_t n;
    for (n = 0; n < LENGTH; n++) {
        password[n] = nth(n);
    }
    set_key(config, "table_name", table);
    CHECK(rsp_config_set(config, "password", password, LENGTH, NULL, 0) == RSP_OK);
    for (n = 0; n < LENGTH; n++) {
        ((volatile char *)password)[n] = 0;
    }
    storage = storage_of(config);
    rsp_config_free(config);
    return storage;
}

int main(int argc, char **argv) {
    rsp_storage *storage, *other;
    CHECK(argc == 4);
    CHECK(occurrences() == 0);
    storage = storage_with_password(argv, "sessions");
    other = storage_with_password(argv, "others");
    CHECK(occurrences() > 0);
    CHECK(rsp_storage_set_password(storage, "new", RSP_NUL_TERMINATED, NULL, 0) == RSP_OK);
    CHECK(occurrences() == 0);
    /* They share connections, and are found by what they were made of. */
    rsp_storage_free(other);
    rsp_storage_free(storage_with_password(argv, "others"));
    CHECK(occurrences() == 0);
    rsp_storage_free(storage);
    return 0;
}
