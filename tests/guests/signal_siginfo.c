/* What a SA_SIGINFO handler is told for kill, sigqueue, raise, tgkill, alarm, timers and children. */
#include "guest.h"

static volatile siginfo_t got;
static volatile int count;

static void handler(int signal, siginfo_t *info, void *context)
{
    CHECK(context != NULL);
    EQUAL(signal, info->si_signo);
    got = *info;
    count++;
}

static void expect(int signal, int code, pid_t from)
{
    for (int i = 0; count == 0 && i < 20000; i++)
        pause_ms(1);
    EQUAL(count, 1);
    EQUAL(got.si_signo, signal);
    EQUAL(got.si_code, code);
    EQUAL(got.si_errno, 0);
    if (from != 0) {
        EQUAL(got.si_pid, from);
        EQUAL(got.si_uid, getuid());
    }
    count = 0;
}

/* Queues a signal as if it came by kill or tgkill, which only the very thread that gets it may. */
static long forge(long nr, long id, int signal, int code)
{
    siginfo_t info = {.si_signo = signal, .si_code = code};
    info.si_pid = getpid();
    info.si_uid = getuid();
    return nr == SYS_rt_sigqueueinfo ? syscall(nr, id, signal, &info) : syscall(nr, getpid(), id, signal, &info);
}

static long first;

static void *forge_to_others(void *unused)
{
    const int codes[] = {SI_USER, SI_TKILL};
    for (int i = 0; i < 2; i++) {
        FAILS(forge(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, codes[i]), EPERM);
        FAILS(forge(SYS_rt_tgsigqueueinfo, first, SIGUSR1, codes[i]), EPERM);
        OKAY(forge(SYS_rt_tgsigqueueinfo, syscall(SYS_gettid), SIGUSR1, codes[i]));
        expect(SIGUSR1, codes[i], getpid());
    }
    return unused;
}

int main(void)
{
    pid_t self = getpid();
    for (int signal = 1; signal < SIGRTMAX; signal++)
        if (signal != SIGKILL && signal != SIGSTOP && signal != SIGCHLD && (signal < 32 || signal >= SIGRTMIN))
            handle(signal, handler, 0);

    OKAY(kill(self, SIGUSR1));
    expect(SIGUSR1, SI_USER, self);
    OKAY(raise(SIGUSR2));
    expect(SIGUSR2, SI_TKILL, self);
    OKAY(syscall(SYS_tgkill, self, syscall(SYS_gettid), SIGHUP));
    expect(SIGHUP, SI_TKILL, self);
    OKAY(sigqueue(self, SIGTERM, (union sigval){.sival_int = 1234}));
    expect(SIGTERM, SI_QUEUE, self);
    EQUAL(got.si_value.sival_int, 1234);
    OKAY(sigqueue(self, SIGRTMIN + 6, (union sigval){.sival_ptr = (void *)0x123456789abcdef}));
    expect(SIGRTMIN + 6, SI_QUEUE, self);
    CHECK(got.si_value.sival_ptr == (void *)0x123456789abcdef);
    ZERO(pthread_sigqueue(pthread_self(), SIGRTMAX - 1, (union sigval){.sival_int = -5}));
    expect(SIGRTMAX - 1, SI_QUEUE, self);
    EQUAL(got.si_value.sival_int, -5);

    first = syscall(SYS_gettid);
    OKAY(forge(SYS_rt_sigqueueinfo, self, SIGUSR1, SI_USER));
    expect(SIGUSR1, SI_USER, self);
    OKAY(forge(SYS_rt_tgsigqueueinfo, first, SIGUSR2, SI_TKILL));
    expect(SIGUSR2, SI_TKILL, self);
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, forge_to_others, NULL));
    ZERO(pthread_join(thread, NULL));

    /* Every signal can be caught but two. */
    for (int signal = 1; signal < 32; signal++) {
        if (signal == SIGKILL || signal == SIGSTOP || signal == SIGCHLD)
            continue;
        OKAY(kill(self, signal));
        expect(signal, SI_USER, self);
    }

    /* From a child, by name and by value. */
    pid_t child = CHILD({
        OKAY(kill(self, SIGUSR1));
    });
    expect(SIGUSR1, SI_USER, child);
    EXITS(child, 0);
    child = CHILD({
        OKAY(sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 99}));
    });
    expect(SIGRTMIN, SI_QUEUE, child);
    EQUAL(got.si_value.sival_int, 99);
    EXITS(child, 0);

    handle(SIGCHLD, handler, SA_RESTART);
    child = CHILD(_exit(31));
    expect(SIGCHLD, CLD_EXITED, child);
    EQUAL(got.si_status, 31);
    EXITS(child, 31);
    child = CHILD({
        for (;;)
            pause();
    });
    OKAY(kill(child, SIGSTOP));
    expect(SIGCHLD, CLD_STOPPED, child);
    EQUAL(got.si_status, SIGSTOP);
    OKAY(kill(child, SIGCONT));
    expect(SIGCHLD, CLD_CONTINUED, child);
    OKAY(kill(child, SIGKILL));
    expect(SIGCHLD, CLD_KILLED, child);
    EQUAL(got.si_status, SIGKILL);
    DIES(child, SIGKILL);

    /* Own siginfo: only to oneself may a positive code be sent. */
    siginfo_t own = {.si_code = -77};
    own.si_value.sival_int = 5;
    OKAY(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &own));
    expect(SIGUSR1, -77, 0);
    EQUAL(got.si_value.sival_int, 5);
    own.si_code = SI_USER;
    child = CHILD(FAILS(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &own), EPERM));
    count = 0;
    EXITS(child, 0);
    return ok("signal_siginfo");
}
