/* Clocks that only go forward, CPU time that is counted, sleeping, priorities, affinity. */
#include "guest.h"
#include <sys/resource.h>
#include <sys/times.h>

static long long read_clock(clockid_t clock)
{
    struct timespec now;
    OKAY(clock_gettime(clock, &now));
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static long long cpu_used(int who)
{
    struct rusage usage;
    OKAY(getrusage(who, &usage));
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ll + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void burn(void)
{
    long long start = read_clock(CLOCK_THREAD_CPUTIME_ID);
    while (read_clock(CLOCK_THREAD_CPUTIME_ID) < start + 50000000)
        ;
}

int main(void)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE,
                                       CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        long long last = read_clock(clocks[i]);
        struct timespec resolution;
        OKAY(clock_getres(clocks[i], &resolution));
        for (int j = 0; j < 10000; j++) {
            long long now = read_clock(clocks[i]);
            CHECK(now >= last);
            last = now;
        }
    }
    FAILS(syscall(SYS_clock_gettime, 99, &(struct timespec){0}), EINVAL);
    /* The call and the vdso tell the same time. */
    for (int i = 0; i < 1000; i++) {
        long long before = read_clock(CLOCK_MONOTONIC);
        struct timespec raw;
        OKAY(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &raw));
        long long between = raw.tv_sec * 1000000000ll + raw.tv_nsec;
        CHECK(before <= between && between <= read_clock(CLOCK_MONOTONIC));
    }
    struct timeval tv;
    OKAY(gettimeofday(&tv, NULL));
    time_t t = time(NULL);
    /* time() reads the clock of the last tick, so it may be behind. */
    CHECK(t >= tv.tv_sec - 1 && t <= tv.tv_sec + 60 && t > 1700000000);

    /* A child sees the same clocks. */
    int ends[2];
    OKAY(pipe(ends));
    long long before = read_clock(CLOCK_MONOTONIC), theirs;
    pid_t child = CHILD({
        theirs = read_clock(CLOCK_MONOTONIC);
        write_all(ends[1], &theirs, sizeof theirs);
        burn();
    });
    EQUAL(read_all(ends[0], &theirs, sizeof theirs), sizeof theirs);
    CHECK(theirs >= before && theirs <= read_clock(CLOCK_MONOTONIC));
    EXITS(child, 0);
    CHECK(cpu_used(RUSAGE_CHILDREN) > 0);

    long long used = cpu_used(RUSAGE_SELF);
    struct tms tms;
    clock_t ticks = times(&tms);
    burn();
    CHECK(cpu_used(RUSAGE_SELF) > used);
    struct tms later;
    CHECK(times(&later) >= ticks);
    CHECK(later.tms_utime >= tms.tms_utime && later.tms_cutime >= tms.tms_cutime);
    CHECK(clock() > 0);

    struct timespec short_time = {0, 2000000}, until;
    before = read_clock(CLOCK_MONOTONIC);
    OKAY(nanosleep(&short_time, NULL));
    CHECK(read_clock(CLOCK_MONOTONIC) - before >= 2000000);
    OKAY(clock_gettime(CLOCK_MONOTONIC, &until));
    ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    until.tv_sec += 1;
    EQUAL(clock_nanosleep(99, 0, &short_time, NULL), EINVAL);

    cpu_set_t set;
    OKAY(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_COUNT(&set) >= 1);
    int cpu = (int)OKAY(sched_getcpu());
    CHECK(cpu >= 0);
    OKAY(sched_yield());
    EQUAL(OKAY(sched_getscheduler(0)), SCHED_OTHER);
    EQUAL(OKAY(sched_get_priority_max(SCHED_FIFO)), 99);
    errno = 0;
    int nice_now = getpriority(PRIO_PROCESS, 0);
    EQUAL(errno, 0);
    OKAY(setpriority(PRIO_PROCESS, 0, nice_now + 3));
    EQUAL(getpriority(PRIO_PROCESS, getpid()), nice_now + 3);
    child = CHILD(_exit(getpriority(PRIO_PROCESS, 0) == nice_now + 3 ? 0 : 1));
    EXITS(child, 0);
    return ok("clocks");
}
