/* CPU time: it never steps back, of the process, of each thread, and of children, and nothing is missing. */
#include "guest.h"
#include <sys/resource.h>
#include <sys/times.h>

#define MS 1000000ll
#define TICK (10 * MS)

static long long of_timeval(struct timeval t)
{
    return t.tv_sec * 1000 * MS + t.tv_usec * 1000;
}

static long long of_rusage(const struct rusage *usage)
{
    return of_timeval(usage->ru_utime) + of_timeval(usage->ru_stime);
}

static long long read_clock(clockid_t clock)
{
    struct timespec now;
    OKAY(clock_gettime(clock, &now));
    return now.tv_sec * 1000 * MS + now.tv_nsec;
}

static long long used_by(int who)
{
    struct rusage usage;
    OKAY(getrusage(who, &usage));
    return of_rusage(&usage);
}

/* All ways to ask what the caller has used. */
struct seen {
    long long process, thread, self, own, clock, ticks;
};

static struct seen look(void)
{
    struct tms tms;
    OKAY(times(&tms));
    struct seen now = {
        .process = read_clock(CLOCK_PROCESS_CPUTIME_ID),
        .thread = read_clock(CLOCK_THREAD_CPUTIME_ID),
        .self = used_by(RUSAGE_SELF),
        .own = used_by(RUSAGE_THREAD),
        .clock = clock(),
        .ticks = tms.tms_utime + tms.tms_stime,
    };
    return now;
}

static void never_back(const struct seen *last, const struct seen *now)
{
    CHECK(now->process >= last->process);
    if (now->thread < last->thread)
        guest_failed(__FILE_NAME__, __LINE__, "thread's clock went back by %lld; process's %lld to %lld, thread's to %lld",
                     last->thread - now->thread, last->process, now->process, now->thread);
    CHECK(now->self >= last->self);
    if (now->own < last->own)
        guest_failed(__FILE_NAME__, __LINE__, "RUSAGE_THREAD went back by %lld", last->own - now->own);
    CHECK(now->clock >= last->clock);
    CHECK(now->ticks >= last->ticks);
    /* Each was asked for after the one before it, and tells the same. */
    CHECK(now->self >= last->process - 1000 && now->process >= last->self);
    CHECK(now->process >= (now->ticks - 2) * TICK);
}

/* Computes until it has used so much more, and looks again and again. Returns the last look. */
static struct seen burn(long long ns)
{
    struct seen first = look(), last = first;
    while (last.thread < first.thread + ns) {
        for (volatile int i = 0; i < 100000; i++)
            ;
        struct seen now = look();
        never_back(&last, &now);
        last = now;
    }
    return last;
}

static void *other(void *ns)
{
    struct seen before = look();
    CHECK(before.process >= before.thread);
    burn(*(long long *)ns);
    return NULL;
}

static volatile sig_atomic_t child_ticks = -1;

static void on_child(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    child_ticks = info->si_utime + info->si_stime;
}

int main(void)
{
    long long part = 150 * MS;
    struct seen before = look();
    struct seen after = burn(part);
    /* Asked for after the thread's time, and before it: between the two it may have moved. */
    CHECK(after.self >= before.process + part - 1000);

    /* A thread's time is its own, and also the process's when it has ended. */
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, other, &part));
    ZERO(pthread_join(thread, NULL));
    struct seen joined = look();
    never_back(&after, &joined);
    CHECK(joined.process >= after.process + part);
    CHECK(joined.thread < after.thread + part);

    /* An execve changes nothing, nor does it in a child. */
    pid_t pid = CHILD({
        CHECK(used_by(RUSAGE_SELF) < part);
        burn(part);
        execl("/bin/true", "true", NULL);
    });
    EXITS(pid, 0);
    long long children = used_by(RUSAGE_CHILDREN);
    CHECK(children >= part);

    /* What a child has used is told by its end. */
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
    OKAY(sigaction(SIGCHLD, &action, &old));
    struct tms first, last;
    OKAY(times(&first));
    pid = CHILD(burn(part));
    struct rusage usage;
    int status;
    EQUAL(OKAY(wait4(pid, &status, 0, &usage)), pid);
    EQUAL(status, 0);
    CHECK(of_rusage(&usage) >= part);
    /* Which the kernel guesses from where its ticks fall. */
    CHECK(child_ticks >= part / TICK / 5);
    CHECK(used_by(RUSAGE_CHILDREN) >= children + part);
    OKAY(times(&last));
    CHECK((last.tms_cutime + last.tms_cstime) - (first.tms_cutime + first.tms_cstime) >= (part - 2 * TICK) / TICK);
    OKAY(sigaction(SIGCHLD, &old, NULL));

    /* And by waitid, which may leave it to be waited for; grandchildren count when their parent has waited. */
    pid = CHILD({
        pid_t grandchild = CHILD(burn(part));
        EXITS(grandchild, 0);
    });
    siginfo_t info;
    ZERO(syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT, &usage));
    CHECK(of_rusage(&usage) >= part);
    children = used_by(RUSAGE_CHILDREN);
    ZERO(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &usage));
    CHECK(of_rusage(&usage) >= part);
    CHECK(used_by(RUSAGE_CHILDREN) >= children + part);
    return ok("cpu_time");
}
