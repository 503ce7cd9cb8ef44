/* Blocking, pending, sigsuspend, sigtimedwait, the queue of real-time signals and its order. */
#include "guest.h"

static volatile int order[64], handled;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    order[handled++] = signal * 1000 + info->si_value.sival_int;
}

int main(void)
{
    sigset_t set, old, empty;
    sigemptyset(&empty);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGKILL);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    OKAY(sigprocmask(SIG_BLOCK, NULL, &old));
    CHECK(sigismember(&old, SIGUSR1) && sigismember(&old, SIGTERM) && !sigismember(&old, SIGKILL));
    FAILS(sigprocmask(99, &set, NULL), EINVAL);

    handle(SIGUSR1, handler, 0);
    handle(SIGTERM, handler, 0);
    OKAY(sigpending(&set));
    CHECK(sigisemptyset(&set));
    for (int i = 0; i < 3; i++)
        OKAY(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = i}));
    OKAY(kill(getpid(), SIGTERM));
    EQUAL(handled, 0);
    OKAY(sigpending(&set));
    CHECK(sigismember(&set, SIGUSR1) && sigismember(&set, SIGTERM) && !sigismember(&set, SIGUSR2));
    OKAY(sigprocmask(SIG_SETMASK, &empty, NULL));
    /* A standard signal is queued once. */
    EQUAL(handled, 2);
    CHECK(order[0] == SIGUSR1 * 1000 || order[1] == SIGUSR1 * 1000);
    OKAY(sigpending(&set));
    CHECK(sigisemptyset(&set));

    /* Real-time signals are all kept, lowest number first, each in the order sent. */
    sigfillset(&set);
    OKAY(sigprocmask(SIG_SETMASK, &set, NULL));
    for (int i = 0; i < 3; i++)
        handle(SIGRTMIN + i, handler, 0);
    for (int i = 0; i < 5; i++)
        for (int s = 2; s >= 0; s--)
            OKAY(sigqueue(getpid(), SIGRTMIN + s, (union sigval){.sival_int = i}));
    siginfo_t info;
    sigemptyset(&set);
    for (int s = 0; s < 3; s++)
        sigaddset(&set, SIGRTMIN + s);
    struct timespec no_time = {0, 0};
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 5; i++) {
            EQUAL(OKAY(sigtimedwait(&set, &info, &no_time)), SIGRTMIN + s);
            EQUAL(info.si_value.sival_int, i);
            EQUAL(info.si_code, SI_QUEUE);
            EQUAL(info.si_pid, getpid());
        }
    FAILS(sigtimedwait(&set, &info, &no_time), EAGAIN);
    FAILS(sigtimedwait(&set, &info, &(struct timespec){0, 1000000}), EAGAIN);

    /* sigwait waits for a signal that comes from elsewhere. */
    pid_t self = getpid();
    pid_t child = CHILD({
        await_state(self, 'S');
        OKAY(sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = 55}));
    });
    EQUAL(OKAY(sigwaitinfo(&set, &info)), SIGRTMIN + 1);
    EQUAL(info.si_pid, child);
    EQUAL(info.si_value.sival_int, 55);
    EXITS(child, 0);

    /* sigsuspend lets a blocked signal in, and the mask is back when it returns. */
    handled = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OKAY(sigprocmask(SIG_SETMASK, &set, NULL));
    OKAY(raise(SIGUSR1));
    FAILS(sigsuspend(&empty), EINTR);
    EQUAL(handled, 1);
    OKAY(sigprocmask(SIG_BLOCK, NULL, &old));
    CHECK(sigismember(&old, SIGUSR1));
    child = CHILD({
        await_state(self, 'S');
        OKAY(kill(self, SIGUSR1));
    });
    FAILS(sigsuspend(&empty), EINTR);
    EQUAL(handled, 2);
    EXITS(child, 0);

    /* Mask and pending: a child inherits the first only; a new thread too. */
    OKAY(raise(SIGUSR1));
    child = CHILD({
        OKAY(sigprocmask(SIG_BLOCK, NULL, &old));
        CHECK(sigismember(&old, SIGUSR1));
        OKAY(sigpending(&old));
        CHECK(sigisemptyset(&old));
    });
    EXITS(child, 0);
    /* Setting SIG_IGN discards what is pending. */
    signal(SIGUSR1, SIG_IGN);
    OKAY(sigpending(&old));
    CHECK(sigisemptyset(&old));
    return ok("signal_mask");
}
