/* Scheduling: policies, priorities, processors, classes of input and output; and limits. */
#include "shown.h"
#include <linux/ioprio.h>
#include <sys/resource.h>

/* sched_getattr(2); not in all headers. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t least, most;
};

static void policies(void)
{
    struct sched_param parameter = {0}, first = {1}, beyond = {100};
    struct timespec interval;
    for (int policy = -1; policy <= 8; policy++) {
        printf("policy %d: ", policy);
        TRY(sched_get_priority_max, policy);
        printf("policy %d: ", policy);
        TRY(sched_get_priority_min, policy);
    }
    TRY(sched_getscheduler, 0);
    TRY(sched_getscheduler, -1);
    TRY(sched_getscheduler, 0x7ffffffe);
    TRY(sched_getparam, 0, &parameter);
    SHOW(parameter.sched_priority);
    TRY(sched_getparam, 0, WILD);
    TRY(sched_getparam, -1, &parameter);
    TRY(sched_rr_get_interval, 0, &interval);
    TRY(sched_rr_get_interval, 0, WILD);
    TRY(sched_rr_get_interval, -1, &interval);
    APART({
        TRY(sched_setscheduler, 0, SCHED_BATCH, &parameter);
        TRY(sched_getscheduler, 0);
        TRY(sched_setscheduler, 0, SCHED_IDLE, &parameter);
        TRY(sched_getscheduler, 0);
        TRY(sched_setscheduler, 0, SCHED_OTHER, &parameter);
        TRY(sched_setscheduler, 0, SCHED_OTHER, &first);
        TRY(sched_setscheduler, 0, 77, &parameter);
        TRY(sched_setscheduler, 0, SCHED_FIFO, &beyond);
        TRY(sched_setscheduler, 0, SCHED_OTHER, WILD);
        TRY(sched_setscheduler, -1, SCHED_OTHER, &parameter);
        TRY(sched_setscheduler, 0, SCHED_RR | SCHED_RESET_ON_FORK, &first);
        TRY(sched_getscheduler, 0);
        TRY(sched_getparam, 0, &parameter);
        SHOW(parameter.sched_priority);
        TRY(sched_setparam, 0, &first);
        TRY(sched_setparam, 0, &beyond);
        TRY(sched_setparam, 0, WILD);
        TRY(sched_setparam, -1, &first);
        APART({ TRY(sched_getscheduler, 0); });
    });
}

static void show_attributes(void)
{
    struct attributes attributes = {0};
    TRY(sched_getattr, 0, &attributes, sizeof attributes, 0);
    SHOW(attributes.size);
    SHOW(attributes.policy);
    SHOW(attributes.flags);
    SHOW(attributes.nice);
    SHOW(attributes.priority);
}

static void attributes(void)
{
    struct attributes set = {.size = 48, .policy = SCHED_BATCH, .nice = 5};
    char large[400] = {0};
    show_attributes();
    TRY(sched_getattr, 0, large, 48, 0);
    TRY(sched_getattr, 0, large, 20, 0);
    TRY(sched_getattr, 0, large, 4096, 1);
    TRY(sched_getattr, 0, WILD, 48, 0);
    TRY(sched_getattr, -1, large, 48, 0);
    TRY(sched_getattr, 0x7ffffffe, large, 48, 0);
    APART({
        TRY(sched_setattr, 0, &set, 0);
        show_attributes();
        set.size = 0;
        TRY(sched_setattr, 0, &set, 0);
        set.size = 20;
        TRY(sched_setattr, 0, &set, 0);
        SHOW(set.size);
        set.size = 4097;
        TRY(sched_setattr, 0, &set, 0);
        memcpy(large, &set, sizeof set);
        *(uint32_t *)large = 300;
        TRY(sched_setattr, 0, large, 0);
        large[250] = 1;
        TRY(sched_setattr, 0, large, 0);
        SHOW(*(uint32_t *)large);
        set.size = 48;
        TRY(sched_setattr, 0, &set, 1);
        TRY(sched_setattr, 0, WILD, 0);
        TRY(sched_setattr, -1, &set, 0);
        set.policy = 77;
        TRY(sched_setattr, 0, &set, 0);
        set.policy = SCHED_OTHER;
        set.nice = 19;
        TRY(sched_setattr, 0, &set, 0);
        TRY(getpriority, PRIO_PROCESS, 0);
    });
}

static void processors(void)
{
    unsigned long set[16] = {0}, none[16] = {0}, beyond[16] = {[15] = 1UL << 60};
    long bytes = TRY(sched_getaffinity, 0, sizeof set, set);
    CHECK(bytes > 0);
    TRY(sched_getaffinity, 0, 1, set);
    TRY(sched_getaffinity, 0, 12, set);
    TRY(sched_getaffinity, 0, sizeof set, WILD);
    TRY(sched_getaffinity, 0x7ffffffe, sizeof set, set);
    APART({
        for (size_t at = 0; at < 16; at++)
            if (set[at] != 0) {
                none[at] = set[at] & -set[at];
                break;
            }
        TRY(sched_setaffinity, 0, sizeof none, none);
        unsigned long now[16] = {0};
        OKAY(RAW(sched_getaffinity, 0, sizeof now, now));
        EQUAL(memcmp(now, none, sizeof now), 0);
        TRY(sched_setaffinity, 0, sizeof set, set);
        memset(none, 0, sizeof none);
        TRY(sched_setaffinity, 0, sizeof none, none);
        TRY(sched_setaffinity, 0, sizeof beyond, beyond);
        TRY(sched_setaffinity, 0, 0, set);
        TRY(sched_setaffinity, 0, sizeof set, WILD);
        TRY(sched_setaffinity, 0x7ffffffe, sizeof set, set);
    });
}

static void nice_values(void)
{
    TRY(getpriority, PRIO_PROCESS, 0);
    TRY(getpriority, 9, 0);
    TRY(getpriority, PRIO_PROCESS, 0x7ffffffe);
    TRY(getpriority, PRIO_PGRP, 0x7ffffffe);
    TRY(getpriority, PRIO_USER, 0x7ffffffe);
    APART({
        TRY(setpriority, PRIO_PROCESS, 0, 7);
        TRY(getpriority, PRIO_PROCESS, 0);
        TRY(setpriority, PRIO_PROCESS, 0, 100);
        TRY(getpriority, PRIO_PROCESS, 0);
        TRY(setpriority, PRIO_PROCESS, 0, 3);
        TRY(setpriority, 9, 0, 3);
        TRY(setpriority, PRIO_PROCESS, 0x7ffffffe, 3);
    });
}

static void io_classes(void)
{
    TRY(ioprio_get, IOPRIO_WHO_PROCESS, 0);
    TRY(ioprio_get, IOPRIO_WHO_PROCESS, 0x7ffffffe);
    TRY(ioprio_get, 9, 0);
    APART({
        TRY(ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6));
        TRY(ioprio_get, IOPRIO_WHO_PROCESS, 0);
        TRY(ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
        TRY(ioprio_get, IOPRIO_WHO_PROCESS, 0);
        TRY(ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 1));
        TRY(ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(5, 1));
        TRY(ioprio_set, 9, 0, 0);
        TRY(ioprio_set, IOPRIO_WHO_PROCESS, 0x7ffffffe, 0);
        APART({ TRY(ioprio_get, IOPRIO_WHO_PROCESS, 0); });
    });
}

static void limits(void)
{
    struct rlimit limit, other;
    for (int which = 0; which < 16; which++) {
        // Those that would be felt at once.
        if (which == RLIMIT_AS || which == RLIMIT_DATA || which == RLIMIT_STACK || which == RLIMIT_FSIZE)
            continue;
        APART({
            printf("limit %d: ", which);
            TRY(prlimit64, 0, which, NULL, &limit);
            if (limit.rlim_cur != RLIM_INFINITY)
                SHOW(limit.rlim_cur);
            other = limit;
            other.rlim_cur = limit.rlim_cur > 100 && which != RLIMIT_NPROC ? 100 : limit.rlim_cur;
            if (which == RLIMIT_CPU)
                other.rlim_cur = 100000;
            printf("limit %d: ", which);
            TRY(prlimit64, 0, which, &other, NULL);
            OKAY(RAW(getrlimit, which, &limit));
            EQUAL(limit.rlim_cur, other.rlim_cur);
            if (limit.rlim_cur != RLIM_INFINITY)
                SHOW(limit.rlim_cur);
            other.rlim_cur = other.rlim_max = limit.rlim_max - (limit.rlim_max != RLIM_INFINITY);
            OKAY(RAW(setrlimit, which, &limit));
        });
    }
    struct rlimit wrong = {10, 5};
    TRY(prlimit64, 0, 77, NULL, &limit);
    TRY(prlimit64, 0, RLIMIT_NOFILE, &wrong, NULL);
    TRY(prlimit64, 0, RLIMIT_NOFILE, WILD, NULL);
    TRY(prlimit64, 0, RLIMIT_NOFILE, NULL, WILD);
    TRY(prlimit64, 0x7ffffffe, RLIMIT_NOFILE, NULL, &limit);
    TRY(prlimit64, -1, RLIMIT_NOFILE, NULL, &limit);
    TRY(getrlimit, 77, &limit);
    TRY(setrlimit, 77, &limit);
    TRY(setrlimit, RLIMIT_NOFILE, &wrong);
    // Of another process.
    int pipe_[2];
    OKAY(pipe(pipe_));
    pid_t child = CHILD({
        close(pipe_[1]);
        char end;
        EQUAL(read(pipe_[0], &end, 1), 0);
        OKAY(RAW(getrlimit, RLIMIT_NOFILE, &limit));
        _exit(limit.rlim_cur == 77 ? 0 : 1);
    });
    close(pipe_[0]);
    OKAY(RAW(prlimit64, child, RLIMIT_NOFILE, NULL, &limit));
    limit.rlim_cur = 77;
    OKAY(RAW(prlimit64, child, RLIMIT_NOFILE, &limit, NULL));
    close(pipe_[1]);
    EXITS(child, 0);
}

int main(void)
{
    policies();
    attributes();
    processors();
    nice_values();
    io_classes();
    limits();
    return ok("rows_sched");
}
