/* Children that are forked while memory may still be on its way have all of it as it was then: those of
   children too, after parts were moved or given up, and while other threads write. */
#include "guest.h"

enum { PAGE = 4096, PAGES = 2048, ROUNDS = 16 };

static uint64_t word(uint64_t region, uint64_t page)
{
    return (region << 40 | page) * 2654435761u + 1;
}

static char *memory(uint64_t region)
{
    char *at =
        mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    for (uint64_t page = 0; page < PAGES; page++)
        *(uint64_t *)(at + page * PAGE) = word(region, page);
    return at;
}

static void check(const char *at, uint64_t region, uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page < to; page++)
        EQUAL(*(const uint64_t *)(at + page * PAGE), word(region, page));
}

static volatile bool over;

/* Writes its own half of every page, all the time. */
static void *write_beside(void *argument)
{
    char *at = argument;
    uint64_t count = 0;
    while (!over) {
        uint64_t page = count * 7919 % PAGES;
        *(uint64_t *)(at + page * PAGE + PAGE / 2) = ++count;
        if (count % 512 == 0)
            usleep(200);
    }
    return NULL;
}

int main(void)
{
    char *kept = memory(1);
    char *wiped = memory(2);
    OKAY(madvise(wiped, PAGES * PAGE, MADV_WIPEONFORK));
    pthread_t writer;
    ZERO(pthread_create(&writer, NULL, write_beside, kept));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        char *changed = memory(3);
        /* The second quarter changes places with new memory, the third is given up. */
        char *moved = mremap(changed + PAGES / 4 * PAGE, PAGES / 4 * PAGE, PAGES / 4 * PAGE,
                             MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
        CHECK(moved != MAP_FAILED);
        OKAY(madvise(changed + PAGES / 2 * PAGE, PAGES / 4 * PAGE, MADV_DONTNEED));
        pause_ms((long)(round % 5) * 3);
        pid_t child = CHILD({
            check(changed, 3, 0, PAGES / 4);
            pid_t grandchild = CHILD({
                check(kept, 1, 0, PAGES);
                check(changed, 3, PAGES * 3 / 4, PAGES);
                for (uint64_t page = 0; page < PAGES; page += 64)
                    EQUAL(*(uint64_t *)(wiped + page * PAGE), 0);
            });
            memset(kept, 0, PAGES * PAGE);
            for (uint64_t page = PAGES / 4; page < PAGES * 3 / 4; page++)
                EQUAL(*(uint64_t *)(changed + page * PAGE), 0);
            for (uint64_t page = 0; page < PAGES / 4; page++)
                EQUAL(*(uint64_t *)(moved + page * PAGE), word(3, PAGES / 4 + page));
            EXITS(grandchild, 0);
        });
        if (round % 2 == 0)
            check(kept, 1, 0, PAGES);
        EXITS(child, 0);
        OKAY(munmap(changed, PAGES * PAGE));
        OKAY(munmap(moved, PAGES / 4 * PAGE));
    }
    over = true;
    ZERO(pthread_join(writer, NULL));
    check(kept, 1, 0, PAGES);
    check(wiped, 2, 0, PAGES);
    return ok("memory_forks");
}
