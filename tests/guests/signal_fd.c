/* signalfd beside handlers, sigtimedwait, sigpending, threads, fork and exec: each signal is taken once. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/signalfd.h>

static volatile int handled;
static volatile siginfo_t details;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    handled = handled * 100 + signal;
    details = *info;
}

static sigset_t set_of(int first, ...)
{
    sigset_t set;
    sigemptyset(&set);
    va_list signals;
    va_start(signals, first);
    for (int signal = first; signal != 0; signal = va_arg(signals, int))
        sigaddset(&set, signal);
    va_end(signals);
    return set;
}

static bool waits(int signal)
{
    sigset_t set;
    OKAY(sigpending(&set));
    return sigismember(&set, signal);
}

static int readable(int fd, int ms) { return (int)OKAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, ms)); }

static const struct timespec at_once = {0, 0}, long_time = {30, 0};

static void taken_once(void)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN + 1, 0);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    /* Those that wait already are seen. */
    OKAY(raise(SIGUSR2));
    pid_t self = getpid(), child = CHILD(OKAY(kill(self, SIGTERM)));
    EXITS(child, 0);
    int fd = (int)OKAY(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    EQUAL(readable(fd, 0), 1);
    struct signalfd_siginfo infos[4];
    EQUAL(OKAY(read(fd, infos, sizeof infos)), 2 * sizeof infos[0]);
    EQUAL(infos[0].ssi_signo, SIGUSR2);
    EQUAL(infos[0].ssi_pid, self);
    EQUAL(infos[1].ssi_signo, SIGTERM);
    EQUAL(infos[1].ssi_code, SI_USER);
    EQUAL(infos[1].ssi_pid, child);
    EQUAL(infos[1].ssi_uid, getuid());
    FAILS(read(fd, infos, sizeof infos), EAGAIN);
    EQUAL(readable(fd, 0), 0);
    CHECK(!waits(SIGUSR2) && !waits(SIGTERM));
    /* A signal that was read is not delivered, nor waited for. */
    handle(SIGUSR1, handler, 0);
    OKAY(kill(self, SIGUSR1));
    CHECK(waits(SIGUSR1));
    EQUAL(OKAY(read(fd, infos, sizeof infos)), sizeof infos[0]);
    CHECK(!waits(SIGUSR1));
    FAILS(sigtimedwait(&set, NULL, &at_once), EAGAIN);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    EQUAL(handled, 0);
    /* One that was not is, with its details, before the call is over. */
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    OKAY(sigqueue(self, SIGUSR1, (union sigval){.sival_int = 41}));
    EQUAL(readable(fd, 0), 1);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    EQUAL(handled, SIGUSR1);
    EQUAL(details.si_code, SI_QUEUE);
    EQUAL(details.si_value.sival_int, 41);
    EQUAL(readable(fd, 0), 0);
    handled = 0;
    OKAY(kill(self, SIGUSR1));
    EQUAL(handled, SIGUSR1);
    OKAY(raise(SIGUSR1));
    EQUAL(handled, SIGUSR1 * 100 + SIGUSR1);
    EQUAL(details.si_code, SI_TKILL);
    EQUAL(readable(fd, 0), 0);
    /* Taken by sigtimedwait, it is not readable. */
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    siginfo_t info;
    for (int i = 0; i < 3; i++)
        OKAY(sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = i}));
    EQUAL(OKAY(sigtimedwait(&set, &info, &at_once)), SIGRTMIN + 1);
    EQUAL(info.si_value.sival_int, 0);
    EQUAL(OKAY(read(fd, infos, sizeof infos[0])), sizeof infos[0]);
    EQUAL(infos[0].ssi_int, 1);
    EQUAL(OKAY(sigtimedwait(&set, &info, &at_once)), SIGRTMIN + 1);
    EQUAL(info.si_value.sival_int, 2);
    FAILS(sigtimedwait(&set, &info, &at_once), EAGAIN);
    EQUAL(readable(fd, 0), 0);
    child = CHILD({
        await_state(self, 'S');
        OKAY(kill(self, SIGTERM));
    });
    EQUAL(OKAY(sigtimedwait(&set, &info, &long_time)), SIGTERM);
    EQUAL(info.si_pid, child);
    EXITS(child, 0);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    OKAY(close(fd));
}

static void in_a_loop(void)
{
    /* What servers do: all that ends or informs them comes by one epoll set. */
    sigset_t set = set_of(SIGCHLD, SIGTERM, SIGHUP, SIGRTMAX, 0);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = (int)OKAY(signalfd(-1, &set, SFD_NONBLOCK)), poller = (int)OKAY(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    OKAY(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
    pid_t self = getpid();
    int ended = 0, queued = 0, started = 0;
    while (ended < 20) {
        if (started < 20) {
            int number = started++;
            CHILD({
                OKAY(sigqueue(self, SIGRTMAX, (union sigval){.sival_int = number}));
                _exit(number);
            });
        }
        EQUAL(OKAY(epoll_wait(poller, &event, 1, 30000)), 1);
        struct signalfd_siginfo info;
        ssize_t got;
        while ((got = read(fd, &info, sizeof info)) == sizeof info) {
            int status;
            if (info.ssi_signo == SIGCHLD)
                while (waitpid(-1, &status, WNOHANG) > 0)
                    ended++;
            else if (info.ssi_signo == (uint32_t)SIGRTMAX)
                queued++;
        }
        EQUAL(got, -1);
        EQUAL(errno, EAGAIN);
    }
    EQUAL(queued, 20);
    /* With a time limit and nothing to come. */
    EQUAL(OKAY(epoll_wait(poller, &event, 1, 20)), 0);
    /* Ignored while it is blocked: it is readable all the same. */
    signal(SIGHUP, SIG_IGN);
    OKAY(kill(self, SIGHUP));
    EQUAL(readable(fd, 0), 1);
    struct signalfd_siginfo info;
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGHUP);
    /* To ignore it forgets it. */
    OKAY(kill(self, SIGHUP));
    signal(SIGHUP, SIG_IGN);
    EQUAL(readable(fd, 0), 0);
    signal(SIGHUP, SIG_DFL);
    OKAY(kill(self, SIGHUP));
    EQUAL(readable(fd, 0), 1);
    OKAY(read(fd, &info, sizeof info));
    /* A child's signals are its own, and it has the descriptor. */
    pid_t child = CHILD({
        EQUAL(readable(fd, 0), 0);
        OKAY(kill(getpid(), SIGHUP));
        OKAY(read(fd, &info, sizeof info));
        EQUAL(info.ssi_pid, getpid());
        sigset_t one = set_of(SIGTERM, 0);
        OKAY(sigprocmask(SIG_UNBLOCK, &one, NULL));
        for (;;)
            pause();
    });
    await_state(child, 'S');
    OKAY(kill(child, SIGTERM));
    DIES(child, SIGTERM);
    EQUAL(readable(fd, 30000), 1);
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGCHLD);
    EQUAL(info.ssi_status, SIGTERM);
    OKAY(close(poller));
    OKAY(close(fd));
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void *reader(void *with)
{
    struct signalfd_siginfo info;
    EQUAL(OKAY(read(*(int *)with, &info, sizeof info)), sizeof info);
    return (void *)(intptr_t)info.ssi_int;
}

static void *waiter(void *with)
{
    sigset_t set = set_of(SIGUSR2, 0);
    siginfo_t info;
    (void)with;
    EQUAL(OKAY(sigtimedwait(&set, &info, &long_time)), SIGUSR2);
    return (void *)(intptr_t)info.si_value.sival_int;
}

static void in_threads(void)
{
    sigset_t set = set_of(SIGUSR2, SIGRTMIN, 0);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = (int)OKAY(signalfd(-1, &set, SFD_CLOEXEC));
    pthread_t thread;
    void *result;
    /* For the process: any thread reads it. */
    ZERO(pthread_create(&thread, NULL, reader, &fd));
    pause_ms(20);
    OKAY(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5}));
    ZERO(pthread_join(thread, &result));
    EQUAL((intptr_t)result, 5);
    /* For one thread: no other sees it. */
    ZERO(pthread_create(&thread, NULL, waiter, NULL));
    pause_ms(20);
    ZERO(pthread_sigqueue(thread, SIGUSR2, (union sigval){.sival_int = 6}));
    ZERO(pthread_join(thread, &result));
    EQUAL((intptr_t)result, 6);
    EQUAL(readable(fd, 0), 0);
    ZERO(pthread_create(&thread, NULL, reader, &fd));
    ZERO(pthread_sigqueue(pthread_self(), SIGUSR2, (union sigval){.sival_int = 7}));
    EQUAL(readable(fd, 0), 1);
    pause_ms(20);
    ZERO(pthread_sigqueue(thread, SIGUSR2, (union sigval){.sival_int = 8}));
    ZERO(pthread_join(thread, &result));
    EQUAL((intptr_t)result, 8);
    struct signalfd_siginfo info;
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_int, 7);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    OKAY(close(fd));
}

/* The descriptor and what waits stay over an execve. */
static void inherited(int fd)
{
    struct signalfd_siginfo info;
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGUSR2);
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    OKAY(kill(getpid(), SIGUSR1));
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGUSR1);
    OKAY(kill(getpid(), SIGUSR1));
    sigset_t set = set_of(SIGUSR1, 0);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        inherited(atoi(argv[1]));
        return GUEST_FAILED;
    }
    taken_once();
    in_a_loop();
    in_threads();
    pid_t child = CHILD({
        sigset_t set = set_of(SIGUSR1, SIGUSR2, 0);
        OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
        int fd = (int)OKAY(signalfd(-1, &set, SFD_NONBLOCK));
        OKAY(kill(getpid(), SIGUSR2));
        FAILS(execl("/nonexistent", "nonexistent", NULL), ENOENT);
        CHECK(waits(SIGUSR2));
        EQUAL(readable(fd, 0), 1);
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        execl("/proc/self/exe", argv[0], number, NULL);
    });
    DIES(child, SIGUSR1);
    return ok("signal_fd");
}
