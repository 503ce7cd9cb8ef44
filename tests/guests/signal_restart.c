/* SA_RESTART against EINTR, call by call; the calls that never restart; no byte is lost. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/file.h>

static volatile int count;
static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    count++;
}

/* A child that sends SIGUSR1 to us once we are likely to sleep, and then releases the call. */
static pid_t releaser(int release)
{
    pid_t parent = getpid();
    return CHILD({
        await_state(parent, 'S');
        pause_ms(20);
        OKAY(kill(parent, SIGUSR1));
        pause_ms(20);
        tell(release);
    });
}

/* A child that sends SIGUSR1 again and again, since nobody can know when a call has begun. */
static pid_t interrupter(void)
{
    pid_t parent = getpid();
    return CHILD({
        await_state(parent, 'S');
        for (;;) {
            pause_ms(20);
            OKAY(kill(parent, SIGUSR1));
        }
    });
}

static void end(pid_t child)
{
    CHECK(count > 0);
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);
    count = 0;
}

static int ends[2];

#define INTERRUPTED(call) \
    do { \
        pid_t interrupter_ = interrupter(); \
        FAILS(call, EINTR); \
        end(interrupter_); \
    } while (0)

int main(void)
{
    char byte;
    struct timespec long_time = {100, 0}, left = {0};
    OKAY(pipe(ends));

    handle(SIGUSR1, handler, 0);
    INTERRUPTED(read(ends[0], &byte, 1));
    pid_t sleeper = CHILD({
        for (;;)
            pause();
    });
    INTERRUPTED(waitpid(sleeper, NULL, 0));
    INTERRUPTED(waitid(P_PID, (id_t)sleeper, &(siginfo_t){0}, WEXITED));
    INTERRUPTED(nanosleep(&long_time, &left));
    CHECK(left.tv_sec >= 90 && left.tv_sec < 100);
    INTERRUPTED(pause());
    INTERRUPTED(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1));
    INTERRUPTED(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 100000));
    INTERRUPTED(select(0, NULL, NULL, NULL, &(struct timeval){100, 0}));
    int set = (int)OKAY(epoll_create1(0));
    INTERRUPTED(epoll_wait(set, &(struct epoll_event){0}, 1, -1));
    int sockets[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    INTERRUPTED(recv(sockets[0], &byte, 1, 0));
    sigset_t none;
    sigemptyset(&none);
    INTERRUPTED(sigsuspend(&none));
    INTERRUPTED(sigtimedwait(&none, NULL, &long_time));
    INTERRUPTED(syscall(SYS_futex, &(int){0}, 0 /* FUTEX_WAIT */, 0, &long_time, NULL, 0));
    OKAY(mkfifo("fifo", 0600));
    INTERRUPTED(open("fifo", O_RDONLY));
    int locked = (int)OKAY(open("locked", O_RDWR | O_CREAT, 0600));
    pid_t locker = CHILD({
        OKAY(flock((int)OKAY(open("locked", O_RDWR)), LOCK_EX));
        struct flock all = {.l_type = F_WRLCK};
        OKAY(fcntl(locked, F_SETLK, &all));
        tell(ends[1]);
        for (;;)
            pause();
    });
    await(ends[0]);
    INTERRUPTED(flock(locked, LOCK_EX));
    INTERRUPTED(fcntl(locked, F_SETLKW, &(struct flock){.l_type = F_WRLCK}));
    OKAY(kill(locker, SIGKILL));
    DIES(locker, SIGKILL);

    /* With SA_RESTART these go on as if nothing had been. */
    handle(SIGUSR1, handler, SA_RESTART);
    count = 0;
    pid_t child = releaser(ends[1]);
    EQUAL(OKAY(read(ends[0], &byte, 1)), 1);
    EQUAL(count, 1);
    EXITS(child, 0);
    count = 0;
    child = releaser(sockets[1]);
    EQUAL(OKAY(recv(sockets[0], &byte, 1, 0)), 1);
    EQUAL(count, 1);
    EXITS(child, 0);
    count = 0;
    child = releaser(ends[1]);
    pid_t waited = CHILD({
        char mine;
        EQUAL(OKAY(read(ends[0], &mine, 1)), 1);
        _exit(8);
    });
    EXITS(waited, 8);
    EQUAL(count, 1);
    EXITS(child, 0);
    /* These do not, whatever the flag says. */
    INTERRUPTED(nanosleep(&long_time, NULL));
    INTERRUPTED(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1));
    INTERRUPTED(select(0, NULL, NULL, NULL, &(struct timeval){100, 0}));
    INTERRUPTED(epoll_wait(set, &(struct epoll_event){0}, 1, -1));
    INTERRUPTED(pause());
    INTERRUPTED(sigsuspend(&none));

    /* A blocked writer that has written a part says so. */
    handle(SIGUSR1, handler, 0);
    static char much[1 << 20];
    child = interrupter();
    long n = OKAY(write(ends[1], much, sizeof much));
    EQUAL(n, 65536);
    end(child);

    /* A signal that is ignored, blocked or stops and continues us interrupts nothing here. */
    child = CHILD({
        int mine[2];
        OKAY(pipe(mine));
        signal(SIGUSR2, SIG_IGN);
        pid_t me = getpid();
        pid_t helper = CHILD({
            await_state(me, 'S');
            pause_ms(10);
            OKAY(kill(me, SIGUSR2));
            OKAY(kill(me, SIGSTOP));
            pause_ms(10);
            OKAY(kill(me, SIGCONT));
            pause_ms(10);
            tell(mine[1]);
        });
        EQUAL(OKAY(read(mine[0], &byte, 1)), 1);
        EXITS(helper, 0);
    });
    EXITS(child, 0);
    OKAY(kill(sleeper, SIGKILL));
    DIES(sleeper, SIGKILL);
    return ok("signal_restart");
}
