/* poll, select, ppoll, pselect: readiness, hang-up, timeouts, the temporary mask. */
#include "guest.h"
#include <sys/select.h>

static volatile int count;
static void handler(int signal)
{
    (void)signal;
    count++;
}

int main(void)
{
    int ends[2], sockets[2];
    OKAY(pipe(ends));
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    struct pollfd set[4] = {
        {.fd = ends[0], .events = POLLIN},
        {.fd = ends[1], .events = POLLOUT},
        {.fd = -1, .events = POLLIN},
        {.fd = 999, .events = POLLIN},
    };
    EQUAL(OKAY(poll(set, 3, 0)), 1);
    EQUAL(set[0].revents, 0);
    EQUAL(set[1].revents, POLLOUT);
    EQUAL(set[2].revents, 0);
    EQUAL(OKAY(poll(set, 4, -1)), 2);
    EQUAL(set[3].revents, POLLNVAL);
    tell(ends[1]);
    EQUAL(OKAY(poll(set, 1, -1)), 1);
    EQUAL(set[0].revents, POLLIN);
    await(ends[0]);
    EQUAL(OKAY(poll(set, 1, 10)), 0);
    OKAY(poll(NULL, 0, 1));
    int closed[2];
    OKAY(pipe(closed));
    OKAY(close(closed[1]));
    set[0].fd = closed[0];
    EQUAL(OKAY(poll(set, 1, -1)), 1);
    EQUAL(set[0].revents, POLLHUP);
    OKAY(pipe(closed));
    OKAY(close(closed[0]));
    set[0] = (struct pollfd){.fd = closed[1], .events = POLLOUT};
    EQUAL(OKAY(poll(set, 1, -1)), 1);
    EQUAL(set[0].revents, POLLOUT | POLLERR);
    OKAY(shutdown(sockets[1], SHUT_WR));
    set[0] = (struct pollfd){.fd = sockets[0], .events = POLLIN | POLLRDHUP};
    EQUAL(OKAY(poll(set, 1, -1)), 1);
    EQUAL(set[0].revents, POLLIN | POLLRDHUP);
    int file = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    set[0] = (struct pollfd){.fd = file, .events = POLLIN | POLLOUT};
    EQUAL(OKAY(poll(set, 1, -1)), 1);
    EQUAL(set[0].revents, POLLIN | POLLOUT);

    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    EQUAL(OKAY(select(ends[1] + 1, &in, &out, NULL, NULL)), 1);
    CHECK(!FD_ISSET(ends[0], &in) && FD_ISSET(ends[1], &out));
    FD_SET(ends[0], &in);
    struct timeval short_time = {0, 1000};
    EQUAL(OKAY(select(ends[0] + 1, &in, NULL, NULL, &short_time)), 0);
    CHECK(!FD_ISSET(ends[0], &in));
    /* The kernel writes back the time that is left. */
    EQUAL(short_time.tv_usec, 0);
    tell(ends[1]);
    FD_SET(ends[0], &in);
    struct timeval long_time = {100, 0};
    EQUAL(OKAY(select(ends[0] + 1, &in, NULL, NULL, &long_time)), 1);
    CHECK(long_time.tv_sec >= 90);
    await(ends[0]);
    FD_ZERO(&in);
    FD_SET(60, &in);
    FAILS(select(61, &in, NULL, NULL, &short_time), EBADF);
    /* A high descriptor. */
    OKAY(dup2(ends[1], 900));
    FD_ZERO(&out);
    FD_SET(900, &out);
    EQUAL(OKAY(select(901, NULL, &out, NULL, NULL)), 1);
    CHECK(FD_ISSET(900, &out));

    /* A signal that is blocked except while the call waits. */
    sigset_t blocked, none, now;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, handler);
    OKAY(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGUSR1);
    EQUAL(count, 0);
    set[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    FAILS(ppoll(set, 1, NULL, &none), EINTR);
    EQUAL(count, 1);
    OKAY(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR1));
    raise(SIGUSR1);
    FAILS(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
    EQUAL(count, 2);
    pid_t self = getpid();
    for (int i = 0; i < 2; i++) {
        pid_t child = CHILD({
            await_state(self, 'S');
            pause_ms(10);
            OKAY(kill(self, SIGUSR1));
        });
        if (i == 0)
            FAILS(ppoll(set, 1, &(struct timespec){100, 0}, &none), EINTR);
        else
            FAILS(pselect(0, NULL, NULL, NULL, &(struct timespec){100, 0}, &none), EINTR);
        EQUAL(count, 3 + i);
        EXITS(child, 0);
    }
    /* The other way round: blocked only while it waits. */
    OKAY(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
    pid_t child = CHILD({
        await_state(self, 'S');
        OKAY(kill(self, SIGUSR1));
        pause_ms(10);
        tell(ends[1]);
    });
    EQUAL(OKAY(ppoll(set, 1, NULL, &blocked)), 1);
    while (count != 5)
        pause_ms(1);
    EXITS(child, 0);
    /* Something is ready and a blocked signal is pending: the call answers, the signal stays pending. */
    OKAY(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGUSR1);
    EQUAL(OKAY(ppoll(set, 1, NULL, &none)), 1);
    EQUAL(count, 5);
    OKAY(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
    EQUAL(count, 6);
    return ok("poll_select");
}
