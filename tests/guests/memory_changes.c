/* Memory that is moved, given up, unmapped, protected, shared with a child and
   touched at random, while its pages may still be on their way. */
#include "guest.h"

enum { PAGE = 4096, PAGES = 2048, ROUNDS = 60 };

/* What page `page` of a region holds, all along. */
static uint64_t word(uint64_t region, uint64_t page, uint64_t at)
{
    return (region << 48 | page << 16 | at) * 2654435761u + 1;
}

static void fill(char *base, uint64_t region, size_t pages)
{
    for (size_t page = 0; page < pages; page++)
        for (size_t at = 0; at < PAGE; at += 512)
            *(uint64_t *)(base + page * PAGE + at) = word(region, page, at);
}

static void check_page(const char *base, uint64_t region, uint64_t page, uint64_t of)
{
    for (size_t at = 0; at < PAGE; at += 512)
        CHECK(*(const uint64_t *)(base + page * PAGE + at) == word(region, of, at));
}

static char *memory(size_t pages)
{
    char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static volatile bool over;
static char *watched;

static void *touch(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!over) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t page = (seed >> 33) % PAGES;
        check_page(watched, 1, page, page);
        usleep(100);
    }
    return NULL;
}

int main(void)
{
    watched = memory(PAGES);
    fill(watched, 1, PAGES);
    pthread_t threads[2];
    for (long i = 0; i < 2; i++)
        ZERO(pthread_create(&threads[i], NULL, touch, (void *)(i + 7)));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t region = 2 + round;
        char *own = memory(PAGES);
        fill(own, region, PAGES);
        pause_ms(7);
        /* Given up: zeros, also of what has not come. */
        OKAY(madvise(own + 100 * PAGE, 50 * PAGE, MADV_DONTNEED));
        for (size_t page = 95; page < 155; page++) {
            if (page >= 100 && page < 150)
                CHECK(own[page * PAGE + 8] == 0 && own[page * PAGE] == 0);
            else
                check_page(own, region, page, page);
        }
        /* Moved, and grown: what is behind is new. */
        char *part = own + 200 * PAGE;
        char *moved = mremap(part, 300 * PAGE, 310 * PAGE, MREMAP_MAYMOVE);
        CHECK(moved != MAP_FAILED);
        for (size_t page = 0; page < 310; page += 13) {
            if (page < 300)
                check_page(moved, region, page, page + 200);
            else
                CHECK(moved[page * PAGE] == 0);
        }
        /* A hole, and something else in it. */
        OKAY(munmap(own + 600 * PAGE, 100 * PAGE));
        char *new = mmap(own + 600 * PAGE, 50 * PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(new == own + 600 * PAGE && new[PAGE] == 0);
        OKAY(mprotect(own + 700 * PAGE, 100 * PAGE, PROT_READ));
        check_page(own, region, 750, 750);
        OKAY(mprotect(own + 700 * PAGE, 100 * PAGE, PROT_READ | PROT_WRITE));
        own[750 * PAGE] ^= 1;
        own[750 * PAGE] ^= 1;
        check_page(own, region, 750, 750);
        /* The kernel reads and writes it for us. */
        int ends[2];
        OKAY(pipe(ends));
        CHECK(write(ends[1], own + 900 * PAGE, 2 * PAGE) == 2 * PAGE);
        CHECK(read(ends[0], own + 910 * PAGE, 2 * PAGE) == 2 * PAGE);
        check_page(own + 10 * PAGE, region, 900, 900);
        OKAY(close(ends[0]));
        OKAY(close(ends[1]));
        struct timespec now;
        void *clock_at = own + 950 * PAGE;
        OKAY(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, clock_at));
        memcpy(&now, clock_at, sizeof now);
        CHECK(now.tv_nsec < 1000000000);
        if (round % 6 == 0) {
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                for (size_t page = 1000; page < PAGES; page++)
                    check_page(own, region, page, page);
                check_page(watched, 1, round, round);
                _exit(7);
            }
            int status;
            CHECK(waitpid(child, &status, 0) == child);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        }
        for (size_t page = 1000; page < PAGES; page += 97)
            check_page(own, region, page, page);
        OKAY(munmap(moved, 310 * PAGE));
        OKAY(munmap(own, 200 * PAGE));
        OKAY(munmap(own + 500 * PAGE, (PAGES - 500) * PAGE));
    }
    over = true;
    for (int i = 0; i < 2; i++)
        ZERO(pthread_join(threads[i], NULL));
    for (uint64_t page = 0; page < PAGES; page++)
        check_page(watched, 1, page, page);
    return ok("memory_changes");
}
