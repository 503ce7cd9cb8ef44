/* Timers and limits of CPU time run out when that much was used, and once, however often the program rests.
 * They count ticks, by which a program that rests often may have used half as much or twice as much, and
 * one that moves all the time a part of it: most is the moving's. */
#include "guest.h"
#include <sys/resource.h>

#define MS 1000000LL

static volatile sig_atomic_t virtual_, profiling, limited;
static volatile long long at_ns;

static long long used_ns(clockid_t clock)
{
    struct timespec time;
    OKAY(clock_gettime(clock, &time));
    return time.tv_sec * 1000 * MS + time.tv_nsec;
}

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    at_ns = used_ns(CLOCK_PROCESS_CPUTIME_ID);
    virtual_ += signal == SIGVTALRM;
    profiling += signal == SIGPROF;
    limited += signal == SIGXCPU;
}

/* Uses so much CPU time, and rests now and then: it may be moved. */
static void use(long long ns)
{
    long long end = used_ns(CLOCK_PROCESS_CPUTIME_ID) + ns;
    for (int i = 0; used_ns(CLOCK_PROCESS_CPUTIME_ID) < end; i++) {
        for (volatile int j = 0; j < 300000; j++)
            ;
        if (i % 64 == 63)
            pause_ms(10);
    }
}

static void check_limit(void)
{
    struct rlimit limit = {1, 30}, shown;
    OKAY(setrlimit(RLIMIT_CPU, &limit));
    long long before = used_ns(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(before < 500 * MS);
    while (limited == 0 && used_ns(CLOCK_PROCESS_CPUTIME_ID) < 9000 * MS)
        use(10 * MS);
    EQUAL(limited, 1);
    CHECK(at_ns > 500 * MS);
    CHECK(at_ns < 8000 * MS);
    OKAY(getrlimit(RLIMIT_CPU, &shown));
    EQUAL(shown.rlim_max, 30);
}

int main(void)
{
    handle(SIGVTALRM, handler, 0);
    handle(SIGPROF, handler, 0);
    handle(SIGXCPU, handler, 0);
    const struct itimerval once = {.it_value = {0, 400000}}, each = {{0, 150000}, {0, 150000}}, never = {0};
    struct itimerval left;
    for (int i = 0; i < 2; i++) {
        int which = i == 0 ? ITIMER_VIRTUAL : ITIMER_PROF;
        volatile sig_atomic_t *count = i == 0 ? &virtual_ : &profiling;
        long long start = used_ns(CLOCK_PROCESS_CPUTIME_ID);
        OKAY(setitimer(which, &once, NULL));
        use(80 * MS);
        EQUAL(*count, 0);
        OKAY(getitimer(which, &left));
        if (left.it_value.tv_usec <= 0 || left.it_value.tv_usec > 400000)
            guest_failed(__FILE_NAME__, __LINE__, "timer %d has %d us left", which, (int)left.it_value.tv_usec);
        while (*count == 0 && used_ns(CLOCK_PROCESS_CPUTIME_ID) < start + 8000 * MS)
            use(5 * MS);
        EQUAL(*count, 1);
        CHECK(at_ns - start > 200 * MS);
        OKAY(getitimer(which, &left));
        EQUAL(left.it_value.tv_usec, 0);
        use(50 * MS);
        EQUAL(*count, 1);
    }
    profiling = 0;
    OKAY(setitimer(ITIMER_PROF, &each, NULL));
    use(520 * MS);
    OKAY(setitimer(ITIMER_PROF, &never, &left));
    EQUAL(left.it_interval.tv_usec, 150000);
    CHECK(profiling <= 6);
    pid_t child = CHILD(check_limit());
    EXITS(child, 0);
    return ok("cpu_timers");
}
