/* SO_RCVTIMEO and SO_SNDTIMEO: a wait ends when its time is over, whatever happens to the process meanwhile. */
#include "guest.h"
#include <netinet/in.h>

/* The shuffled program is moved several times during each wait. */
#define LIMIT_MS 300
/* What a slow machine may take longer. */
#define LATE_MS 2000

static long now_ms(void)
{
    struct timespec now;
    OKAY(clock_gettime(CLOCK_MONOTONIC, &now));
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The call takes its time and not much more. */
#define TAKES(call, expected) \
    do { \
        long from_ = now_ms(); \
        FAILS(call, expected); \
        long took_ = now_ms() - from_; \
        CHECK(took_ >= LIMIT_MS - 10 && took_ < LIMIT_MS + LATE_MS); \
    } while (0)

static void limit(int fd, int option)
{
    struct timeval time = {0, LIMIT_MS * 1000};
    OKAY(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time));
}

static void is_limited(int fd, int option)
{
    struct timeval time;
    socklen_t length = sizeof time;
    OKAY(getsockopt(fd, SOL_SOCKET, option, &time, &length));
    EQUAL(length, sizeof time);
    EQUAL(time.tv_sec, 0);
    EQUAL(time.tv_usec, LIMIT_MS * 1000);
}

static void wait_in_all_ways(void)
{
    int pair[2];
    char byte, much[65536] = {0};
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    limit(pair[0], SO_RCVTIMEO);
    limit(pair[0], SO_SNDTIMEO);
    TAKES(read(pair[0], &byte, 1), EAGAIN);
    TAKES(recv(pair[0], &byte, 1, 0), EAGAIN);
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    TAKES(recvmsg(pair[0], &message, 0), EAGAIN);
    is_limited(pair[0], SO_RCVTIMEO);
    OKAY(fcntl(pair[0], F_SETFL, O_NONBLOCK));
    while (write(pair[0], much, sizeof much) > 0)
        ;
    OKAY(fcntl(pair[0], F_SETFL, 0));
    TAKES(write(pair[0], much, 1), EAGAIN);
    is_limited(pair[0], SO_SNDTIMEO);
    OKAY(close(pair[0]));
    OKAY(close(pair[1]));
    /* On other kinds of sockets. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0));
    OKAY(bind(fd, (struct sockaddr *)&address, sizeof address));
    limit(fd, SO_RCVTIMEO);
    TAKES(recvfrom(fd, &byte, 1, 0, NULL, NULL), EAGAIN);
    OKAY(close(fd));
    fd = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
    OKAY(bind(fd, (struct sockaddr *)&address, sizeof address));
    OKAY(listen(fd, 1));
    limit(fd, SO_RCVTIMEO);
    TAKES(accept(fd, NULL, NULL), EAGAIN);
    is_limited(fd, SO_RCVTIMEO);
    OKAY(close(fd));
    /* A wait that is told how long, beside. */
    struct pollfd none = {.fd = -1};
    long from = now_ms();
    EQUAL(OKAY(poll(&none, 1, LIMIT_MS)), 0);
    long took = now_ms() - from;
    CHECK(took >= LIMIT_MS - 1 && took < LIMIT_MS + LATE_MS);
}

int main(void)
{
    wait_in_all_ways();
    /* Signals that are blocked do not make it longer. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t self = getpid(), child = CHILD({
        for (;;) {
            OKAY(kill(self, SIGUSR1));
            pause_ms(10);
        }
    });
    wait_in_all_ways();
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);
    /* What comes in time is read. */
    int pair[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct timeval time = {30, 0};
    OKAY(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    child = CHILD({
        pause_ms(100);
        tell(pair[1]);
        pause();
    });
    char byte;
    EQUAL(OKAY(read(pair[0], &byte, 1)), 1);
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);
    return ok("socket_timeout");
}
