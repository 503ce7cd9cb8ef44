/* epoll: level, edge, one-shot; nested; temporary mask; a closed descriptor; many threads. */
#include "guest.h"
#include <sys/epoll.h>

static volatile int count;
static void handler(int signal)
{
    (void)signal;
    count++;
}

static int set;
static volatile int woken;
static void *waiter(void *nothing)
{
    struct epoll_event event;
    EQUAL(OKAY(epoll_wait(set, &event, 1, -1)), 1);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    await(event.data.fd);
    return nothing;
}

int main(void)
{
    int ends[2], other[2];
    struct epoll_event event, events[10];
    set = (int)OKAY(epoll_create1(EPOLL_CLOEXEC));
    EQUAL(OKAY(fcntl(set, F_GETFD)), FD_CLOEXEC);
    OKAY(close(OKAY(epoll_create(1))));
    OKAY(pipe(ends));
    OKAY(pipe(other));
    event = (struct epoll_event){.events = EPOLLIN, .data.u64 = 0x123456789abcdef};
    OKAY(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), EEXIST);
    FAILS(epoll_ctl(set, EPOLL_CTL_MOD, other[0], &event), ENOENT);
    FAILS(epoll_ctl(set, EPOLL_CTL_DEL, other[0], NULL), ENOENT);
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
    FAILS(epoll_ctl(set, 99, ends[0], &event), EINVAL);
    EQUAL(OKAY(epoll_wait(set, events, 10, 0)), 0);
    EQUAL(OKAY(epoll_wait(set, events, 10, 5)), 0);
    tell(ends[1]);
    for (int i = 0; i < 3; i++) {
        EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 1);
        EQUAL(events[0].events, EPOLLIN);
        CHECK(events[0].data.u64 == 0x123456789abcdef);
    }
    event.events = EPOLLIN | EPOLLET;
    OKAY(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
    EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 1);
    EQUAL(OKAY(epoll_wait(set, events, 10, 0)), 0);
    tell(ends[1]);
    EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    OKAY(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
    EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 1);
    EQUAL(OKAY(epoll_wait(set, events, 10, 0)), 0);
    event.events = EPOLLIN;
    OKAY(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));

    /* Several at once, each with its own data. */
    for (int i = 0; i < 5; i++) {
        int more[2];
        OKAY(pipe(more));
        tell(more[1]);
        OKAY(epoll_ctl(set, EPOLL_CTL_ADD, more[0], &(struct epoll_event){.events = EPOLLIN, .data.u32 = 1u << i}));
    }
    EQUAL(OKAY(epoll_wait(set, events, 2, -1)), 2);
    EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 6);

    int outer = (int)OKAY(epoll_create1(0));
    OKAY(epoll_ctl(outer, EPOLL_CTL_ADD, set, &(struct epoll_event){.events = EPOLLIN, .data.fd = 7}));
    EQUAL(OKAY(epoll_wait(outer, events, 10, -1)), 1);
    EQUAL(events[0].data.fd, 7);
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, outer, &event), ELOOP);
    EQUAL(OKAY(poll(&(struct pollfd){.fd = outer, .events = POLLIN}, 1, 0)), 1);

    /* The last close takes a descriptor out; hang-up is told unasked. */
    OKAY(close(set));
    set = (int)OKAY(epoll_create1(0));
    int twin = (int)OKAY(dup(other[0]));
    OKAY(epoll_ctl(set, EPOLL_CTL_ADD, other[0], &(struct epoll_event){.events = 0, .data.fd = other[0]}));
    OKAY(close(other[1]));
    EQUAL(OKAY(epoll_wait(set, events, 10, -1)), 1);
    EQUAL(events[0].events, EPOLLHUP);
    OKAY(close(other[0]));
    EQUAL(OKAY(epoll_wait(set, events, 10, 0)), 1);
    OKAY(close(twin));
    EQUAL(OKAY(epoll_wait(set, events, 10, 0)), 0);

    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, handler);
    OKAY(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGUSR1);
    FAILS(epoll_pwait(set, events, 10, -1, &none), EINTR);
    EQUAL(count, 1);
    pid_t self = getpid();
    pid_t child = CHILD({
        await_state(self, 'S');
        pause_ms(10);
        OKAY(kill(self, SIGUSR1));
    });
    FAILS(epoll_pwait2(set, events, 10, &(struct timespec){100, 0}, &none), EINTR);
    EQUAL(count, 2);
    EXITS(child, 0);

    /* Threads that wait for the same set; the data fetch is theirs. */
    pthread_t threads[10];
    while (OKAY(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 0)) == 1)
        await(ends[0]);
    OKAY(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &(struct epoll_event){.events = EPOLLIN, .data.fd = ends[0]}));
    for (int i = 0; i < 10; i++)
        ZERO(pthread_create(&threads[i], NULL, waiter, NULL));
    for (int i = 0; i < 10; i++)
        tell(ends[1]);
    for (int i = 0; i < 10; i++)
        ZERO(pthread_join(threads[i], NULL));
    EQUAL(woken, 10);
    return ok("epoll_wait");
}
