/* After fork both have the same memory and neither sees the other's changes: heap, stack, data, files. */
#include "guest.h"

#define PAGES 2000

static char data[PAGES * 4096];

int main(void)
{
    int there[2], back[2];
    OKAY(pipe(there));
    OKAY(pipe(back));
    make_file("file", "mapped privately");
    char *file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, (int)OKAY(open("file", O_RDONLY)), 0);
    CHECK(file != MAP_FAILED);
    file[0] = 'M';
    char *heap = malloc(PAGES * 4096);
    char stack[65536];
    for (int i = 0; i < PAGES; i++) {
        data[i * 4096] = (char)i;
        heap[i * 4096] = (char)(i * 3);
    }
    memset(stack, 's', sizeof stack);
    char *fresh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OKAY(madvise(fresh, 4096, MADV_WIPEONFORK));
    strcpy(fresh, "wiped");
    char *absent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OKAY(madvise(absent, 4096, MADV_DONTFORK));

    pid_t child = CHILD({
        for (int i = 0; i < PAGES; i++) {
            EQUAL(data[i * 4096], (char)i);
            EQUAL(heap[i * 4096], (char)(i * 3));
            data[i * 4096] = heap[i * 4096] = 'c';
        }
        CHECK(memcmp(file, "Mapped", 6) == 0);
        file[1] = 'c';
        EQUAL(fresh[0], 0);
        FAILS(write(back[1], absent, 1), EFAULT);
        memset(stack, 'c', sizeof stack);
        tell(back[1]);
        await(there[0]);
        for (int i = 0; i < PAGES; i++)
            CHECK(data[i * 4096] == 'c' && heap[i * 4096] == 'c');
        CHECK(file[1] == 'c' && stack[100] == 'c');
    });
    await(back[0]);
    for (int i = 0; i < PAGES; i++) {
        EQUAL(data[i * 4096], (char)i);
        EQUAL(heap[i * 4096], (char)(i * 3));
        data[i * 4096] = heap[i * 4096] = 'p';
    }
    CHECK(memcmp(file, "Mapped", 6) == 0);
    for (size_t i = 0; i < sizeof stack; i++)
        EQUAL(stack[i], 's');
    SAME_TEXT(fresh, "wiped");
    tell(there[1]);
    EXITS(child, 0);
    SAME_TEXT(file_text("file"), "mapped privately");
    return ok("fork_memory");
}
