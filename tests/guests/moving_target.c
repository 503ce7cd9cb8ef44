/* A process with threads that compute, hold locks and checksum their memory, until a file appears. */
#include "guest.h"
#include <stdint.h>

enum { THREADS = 4, WORDS = 1 << 16 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile long turns[THREADS], total;
static volatile bool over;

static uint64_t checksum(const uint64_t *words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WORDS; i++)
        sum = sum * 31 + words[i];
    return sum;
}

static void *work(void *argument)
{
    long own = (long)argument;
    uint64_t *words = malloc(WORDS * sizeof *words);
    for (size_t i = 0; i < WORDS; i++)
        words[i] = i * 2654435761u + (uint64_t)own;
    uint64_t expected = checksum(words);
    while (!over) {
        CHECK(checksum(words) == expected);
        ZERO(pthread_mutex_lock(&lock));
        long before = total;
        turns[own]++;
        total = before + 1;
        ZERO(pthread_mutex_unlock(&lock));
        /* Changed and known: a page that came back old would show. */
        size_t at = (size_t)turns[own] % WORDS;
        words[at] ^= (uint64_t)turns[own];
        expected = checksum(words);
    }
    free(words);
    return NULL;
}

int main(void)
{
    pid_t pid = getpid();
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, work, (void *)i));
    puts("ready");
    fflush(stdout);
    struct timespec start, now;
    OKAY(clock_gettime(CLOCK_MONOTONIC, &start));
    while (access("over", F_OK) != 0) {
        pause_ms(10);
        OKAY(clock_gettime(CLOCK_MONOTONIC, &now));
        CHECK(now.tv_sec > start.tv_sec || now.tv_nsec > start.tv_nsec);
        start = now;
        /* Without anybody who moves it, it ends by itself. */
        static int rounds;
        if (++rounds == 100)
            make_file("over", "");
    }
    over = true;
    long sum = 0;
    for (int i = 0; i < THREADS; i++) {
        ZERO(pthread_join(threads[i], NULL));
        sum += turns[i];
    }
    CHECK(sum == total && total > 0);
    EQUAL(getpid(), pid);
    return ok("moving_target");
}
