/* How handlers run: nesting, SA_NODEFER, SA_RESETHAND, sa_mask; SIGPIPE; which thread takes a signal. */
#include "guest.h"

static volatile int depth, deepest, count;
static sigset_t inside;

static void nest(int signal)
{
    depth++;
    if (depth > deepest)
        deepest = depth;
    OKAY(sigprocmask(SIG_BLOCK, NULL, &inside));
    if (depth < 3 && count++ < 3)
        raise(signal);
    depth--;
}

static volatile pid_t taken_by;
static void note_thread(int signal)
{
    (void)signal;
    taken_by = (pid_t)syscall(SYS_gettid);
}

static pid_t open_thread;
static volatile bool stop;
static void *unblocked(void *nothing)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    open_thread = (pid_t)syscall(SYS_gettid);
    ZERO(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    while (!stop)
        pause_ms(1);
    return nothing;
}

int main(void)
{
    struct sigaction action = {.sa_handler = nest}, old;
    sigaddset(&action.sa_mask, SIGUSR2);
    OKAY(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    EQUAL(deepest, 1);
    CHECK(sigismember(&inside, SIGUSR1) && sigismember(&inside, SIGUSR2));
    OKAY(sigprocmask(SIG_BLOCK, NULL, &inside));
    CHECK(sigisemptyset(&inside));

    deepest = count = 0;
    action.sa_flags = SA_NODEFER;
    OKAY(sigaction(SIGUSR1, &action, &old));
    CHECK(old.sa_handler == nest && sigismember(&old.sa_mask, SIGUSR2));
    raise(SIGUSR1);
    EQUAL(deepest, 3);
    CHECK(!sigismember(&inside, SIGUSR1));

    deepest = count = 0;
    action.sa_flags = SA_RESETHAND;
    OKAY(sigaction(SIGUSR1, &action, NULL));
    count = 3;
    raise(SIGUSR1);
    OKAY(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == SIG_DFL);
    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);

    /* A write without a reader: SIGPIPE, or EPIPE if ignored, or both if caught. */
    int ends[2];
    OKAY(pipe(ends));
    OKAY(close(ends[0]));
    pid_t child = CHILD({
        signal(SIGPIPE, SIG_DFL);
        (void)!write(ends[1], "x", 1);
    });
    DIES(child, SIGPIPE);
    signal(SIGPIPE, note_thread);
    FAILS(write(ends[1], "x", 1), EPIPE);
    EQUAL(taken_by, getpid());
    taken_by = 0;
    int sockets[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    OKAY(close(sockets[0]));
    FAILS(send(sockets[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    EQUAL(taken_by, 0);
    FAILS(send(sockets[1], "x", 1, 0), EPIPE);
    EQUAL(taken_by, getpid());

    /* A signal to the process goes to a thread that does not block it. */
    sigset_t set;
    pthread_t thread;
    signal(SIGUSR1, note_thread);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ZERO(pthread_sigmask(SIG_BLOCK, &set, NULL));
    ZERO(pthread_create(&thread, NULL, unblocked, NULL));
    for (int i = 0; i < 20; i++) {
        taken_by = 0;
        OKAY(kill(getpid(), SIGUSR1));
        while (taken_by == 0)
            pause_ms(1);
        EQUAL(taken_by, open_thread);
    }
    stop = true;
    ZERO(pthread_join(thread, NULL));
    return ok("signal_handler");
}
