/* Memory at its limits: reservations of a TiB, brk, deep recursion, growing mappings, many mappings. */
#include "guest.h"
#include <sys/resource.h>

#define KIB 1024L
#define MIB (1024 * KIB)
#define MAPPINGS 1000

static long depth(long left)
{
    volatile char room[1000];
    room[0] = (char)left;
    room[999] = room[0];
    long below = left > 0 ? depth(left - 1) : 0;
    CHECK(room[999] == (char)left);
    return below + 1;
}

static void grows_down(void)
{
    /* With room below it, away from others. */
    char *room = mmap(NULL, 64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(room != MAP_FAILED);
    OKAY(munmap(room, 64 * MIB));
    char *top = room + 60 * MIB;
    char *grown = mmap(top, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    CHECK(grown == top);
    top[0] = 'a';
    for (long page = 1; page < 256; page++)
        top[-page * 4096] = (char)page;
    for (long page = 1; page < 256; page++)
        EQUAL(top[-page * 4096], (char)page);
    OKAY(munmap(top - 255 * 4096, 256 * 4096));
}

int main(void)
{
    long tib = 1L << 40;
    char *huge = mmap(NULL, (size_t)tib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(huge != MAP_FAILED);
    for (int i = 0; i < 16; i++)
        huge[tib / 16 * i] = (char)(i + 1);

    struct rlimit stack;
    OKAY(getrlimit(RLIMIT_STACK, &stack));
    EQUAL(stack.rlim_cur, 8 * MIB);
    EQUAL(depth(6000), 6001);
    grows_down();

    /* brk to its limit. */
    char *start = sbrk(0);
    struct rlimit data;
    OKAY(getrlimit(RLIMIT_DATA, &data));
    EXITS(CHILD({
              struct rlimit small = {64 * MIB, data.rlim_max};
              OKAY(munmap(huge, (size_t)tib));
              OKAY(setrlimit(RLIMIT_DATA, &small));
              CHECK(sbrk(32 * MIB) == (void *)start);
              start[32 * MIB - 1] = 1;
              CHECK(sbrk(64 * MIB) == (void *)-1);
              EQUAL(errno, ENOMEM);
              CHECK(sbrk(0) == start + 32 * MIB);
          }),
          0);
    CHECK(sbrk(100 * MIB) == (void *)start);
    start[100 * MIB - 1] = 'b';
    start[0] = 'a';

    /* Every other page of a reservation: a mapping each. */
    char *many = mmap(NULL, 2 * MAPPINGS * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(many != MAP_FAILED);
    for (long i = 0; i < MAPPINGS; i++) {
        OKAY(mprotect(many + 2 * i * 4096, 4096, PROT_READ | PROT_WRITE));
        many[2 * i * 4096] = (char)i;
    }
    for (int round = 0; round < 5; round++) {
        OKAY(access(".", F_OK));
        pause_ms(20);
        for (long i = 0; i < MAPPINGS; i++)
            EQUAL(many[2 * i * 4096], (char)i);
        for (int i = 0; i < 16; i++)
            EQUAL(huge[tib / 16 * i], i + 1);
        EQUAL(start[100 * MIB - 1], 'b');
    }
    EXITS(CHILD(for (long i = 0; i < MAPPINGS; i++) EQUAL(many[2 * i * 4096], (char)i);), 0);
    return ok("scale_memory");
}
