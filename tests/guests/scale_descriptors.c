/* Ten thousand descriptors: their numbers, waits on all of them, the limit, a child that has them all. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/resource.h>

#define COUNT 10000

int main(void)
{
    /* Whatever was left open by who started it. */
    OKAY(close_range(3, ~0U, 0));
    struct rlimit limit;
    OKAY(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK(limit.rlim_max >= COUNT + 20);
    limit.rlim_cur = COUNT + 10;
    OKAY(setrlimit(RLIMIT_NOFILE, &limit));
    int ends[2];
    OKAY(pipe(ends));
    int first = ends[1] + 1;
    for (int fd = first; fd < COUNT + 10; fd++)
        EQUAL(OKAY(dup(ends[0])), fd);
    FAILS(dup(0), EMFILE);
    FAILS(open("/dev/null", O_RDONLY), EMFILE);
    FAILS(fcntl(0, F_DUPFD, COUNT + 10), EINVAL);
    FAILS(dup2(0, COUNT + 10), EBADF);
    OKAY(close(COUNT + 9));

    int epoll = (int)OKAY(epoll_create1(EPOLL_CLOEXEC));
    EQUAL(epoll, COUNT + 9);
    struct pollfd *waits = calloc(COUNT + 9, sizeof *waits);
    for (int fd = first; fd < COUNT + 9; fd++) {
        waits[fd].fd = fd;
        waits[fd].events = POLLIN;
        struct epoll_event event = {EPOLLIN, {.fd = fd}};
        OKAY(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    }
    unsigned count = (unsigned)(COUNT + 9 - first);
    EQUAL(OKAY(poll(waits + first, count, 0)), 0);
    tell(ends[1]);
    EQUAL(OKAY(poll(waits + first, count, -1)), count);
    struct epoll_event *events = calloc(count, sizeof *events);
    EQUAL(OKAY(epoll_wait(epoll, events, (int)count, -1)), count);
    EXITS(CHILD({
              await(COUNT + 8);
              EQUAL(OKAY(dup2(0, COUNT + 7)), COUNT + 7);
          }),
          0);
    EQUAL(OKAY(poll(waits + first, count, 0)), 0);
    OKAY(close_range((unsigned)first, ~0U, 0));
    EQUAL(OKAY(dup(0)), first);
    return ok("scale_descriptors");
}
