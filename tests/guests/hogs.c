/*
 * Children that write more and more memory, as fast as they compute what belongs there, and have all
 * of it at the same time: how many, MiB of each, and how long that takes are its arguments. Each checks
 * its memory on the way, and all of it in the end.
 */
#include "guest.h"

enum { PAGE = 4096, WORDS = PAGE / 8, PAGES_OF_MIB = 256 };

/* Steps for each word. */
static int work = 100;

/* What belongs at this place of child `child`'s memory; takes its time. */
static uint64_t word(uint64_t child, uint64_t page, uint64_t at)
{
    uint64_t value = child << 48 | page << 16 | at;
    for (int i = 0; i < work; i++)
        value = value * 6364136223846793005u + 1442695040888963407u;
    return value;
}

static void check_page(const uint64_t *memory, uint64_t child, uint64_t page)
{
    for (uint64_t at = 0; at < WORDS; at++)
        CHECK(memory[page * WORDS + at] == word(child, page, at));
}

/* Says that all is written, and ends when all others have said it too. */
static void hog(uint64_t child, uint64_t pages, int full, int all_full)
{
    uint64_t *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (uint64_t page = 0; page < pages; page++) {
        for (uint64_t at = 0; at < WORDS; at++)
            memory[page * WORDS + at] = word(child, page, at);
        if (page % 64 == 63)
            check_page(memory, child, (page * 2654435761u) % page);
    }
    EQUAL(write(full, "", 1), 1);
    char end;
    EQUAL(read(all_full, &end, 1), 0);
    for (uint64_t page = 0; page < pages; page++)
        check_page(memory, child, page);
    _exit(0);
}

int main(int argc, char **argv)
{
    int children = argc > 1 ? atoi(argv[1]) : 3;
    int mib = argc > 2 ? atoi(argv[2]) : 4;
    if (argc > 3)
        work = atoi(argv[3]);
    int full[2], all_full[2];
    ZERO(pipe(full));
    ZERO(pipe(all_full));
    for (int child = 0; child < children; child++) {
        if (OKAY(fork()) == 0) {
            close(full[0]);
            close(all_full[1]);
            hog((uint64_t)child, (uint64_t)mib * PAGES_OF_MIB, full[1], all_full[0]);
        }
    }
    close(full[1]);
    for (int child = 0; child < children; child++) {
        struct pollfd said = {.fd = full[0], .events = POLLIN};
        char byte;
        /* None ends before all have said it. */
        while (OKAY(poll(&said, 1, 100)) == 0)
            EQUAL(waitpid(-1, NULL, WNOHANG), 0);
        EQUAL(read(full[0], &byte, 1), 1);
    }
    close(all_full[1]);
    for (int child = 0; child < children; child++) {
        int status;
        OKAY(wait(&status));
        EQUAL(status, 0);
    }
    puts("OK hogs");
    return 0;
}
