/*
 * ppoll, pselect, epoll_pwait, sigsuspend: what only the mask of the call blocks waits for its end, and what
 * only it lets through ends it, whatever happens to the process meanwhile.
 */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/select.h>

#define WAIT_MS 250

static volatile int ones, twos;
static volatile long one_at, two_at;

static long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (signal == SIGUSR1) {
        ones++;
        one_at = now_us();
    } else {
        twos++;
        two_at = now_us();
    }
}

enum way { BY_PPOLL, BY_PSELECT, BY_EPOLL, BY_SUSPEND };

/* One wait with SIGUSR1 blocked; its result. */
static int wait_by(enum way way, int fd, int poller, int ms)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    switch (way) {
    case BY_PPOLL:
        return ppoll(&readable, 1, ms < 0 ? NULL : &time, &mask);
    case BY_PSELECT:
        return pselect(fd + 1, &set, NULL, NULL, ms < 0 ? NULL : &time, &mask);
    case BY_EPOLL:
        return epoll_pwait(poller, &event, 1, ms, &mask);
    default:
        return sigsuspend(&mask);
    }
}

/* Sends SIGUSR1 again and again for some time. */
static void disturb(pid_t whom)
{
    /* When it waits. */
    pause_ms(30);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        OKAY(kill(whom, SIGUSR1));
        pause_ms(10);
    }
}

static void try(enum way way)
{
    int ends[2], poller = (int)OKAY(epoll_create1(0));
    OKAY(pipe(ends));
    struct epoll_event event = {.events = EPOLLIN};
    OKAY(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event));
    pid_t self = getpid(), child;
    if (way != BY_SUSPEND) {
        /* Ended by what it waits for: that came before SIGUSR1 was let through. */
        ones = 0;
        child = CHILD({
            disturb(self);
            long sent = now_us();
            write_all(ends[1], &sent, sizeof sent);
            pause();
        });
        EQUAL(OKAY(wait_by(way, ends[0], poller, -1)), 1);
        CHECK(ones >= 1);
        long sent;
        EQUAL(read_all(ends[0], &sent, sizeof sent), sizeof sent);
        CHECK(one_at >= sent);
        OKAY(kill(child, SIGKILL));
        DIES(child, SIGKILL);
        /* By the end of its time. */
        ones = 0;
        child = CHILD({
            disturb(self);
            pause();
        });
        long from = now_us();
        EQUAL(OKAY(wait_by(way, ends[0], poller, WAIT_MS)), 0);
        CHECK(now_us() - from >= WAIT_MS * 1000 - 1000);
        CHECK(now_us() - from < WAIT_MS * 1000 + 2000000);
        CHECK(ones == 0 || one_at - from >= WAIT_MS * 1000 - 1000);
        OKAY(kill(child, SIGKILL));
        DIES(child, SIGKILL);
    }
    /* By a signal that is blocked but in the call. */
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    OKAY(sigprocmask(SIG_BLOCK, &mask, NULL));
    twos = 0;
    child = CHILD({
        disturb(self);
        OKAY(kill(self, SIGUSR2));
        pause();
    });
    ones = 0;
    FAILS(wait_by(way, ends[0], poller, -1), EINTR);
    EQUAL(twos, 1);
    CHECK(ones == 0 || one_at >= two_at);
    OKAY(sigprocmask(SIG_BLOCK, NULL, &before));
    CHECK(sigismember(&before, SIGUSR2) && !sigismember(&before, SIGUSR1));
    OKAY(sigprocmask(SIG_UNBLOCK, &mask, NULL));
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);
    EQUAL(twos, 1);
    OKAY(close(ends[0]));
    OKAY(close(ends[1]));
    OKAY(close(poller));
}

int main(void)
{
    handle(SIGUSR1, handler, 0);
    handle(SIGUSR2, handler, 0);
    try(BY_PPOLL);
    try(BY_PSELECT);
    try(BY_EPOLL);
    try(BY_SUSPEND);
    return ok("masked_wait");
}
