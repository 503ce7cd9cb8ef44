/* A wait that has been stopped and continued, more than once, is the same wait: it ends when it would
   have, with what it waited for, and not for the stops. */
#include "guest.h"

enum { STOPS = 4, LIMIT_MS = 700, LATE_MS = 3000 };

static long now_ms(void)
{
    struct timespec now;
    OKAY(clock_gettime(CLOCK_MONOTONIC, &now));
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void stop_often(pid_t child)
{
    for (int i = 0; i < STOPS; i++) {
        pause_ms(40);
        OKAY(kill(child, SIGSTOP));
        int status;
        EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
        CHECK(WIFSTOPPED(status));
        pause_ms(5);
        OKAY(kill(child, SIGCONT));
    }
}

static void took(long from)
{
    long ms = now_ms() - from;
    CHECK(ms >= LIMIT_MS - 1 && ms < LIMIT_MS + LATE_MS);
}

int main(void)
{
    int pair[2];
    OKAY(pipe(pair));
    /* Without an end. */
    pid_t child = CHILD({
        struct pollfd wanted = {.fd = pair[0], .events = POLLIN};
        EQUAL(OKAY(poll(&wanted, 1, -1)), 1);
        EQUAL(wanted.revents, POLLIN);
        char byte;
        EQUAL(OKAY(read(pair[0], &byte, 1)), 1);
    });
    stop_often(child);
    pause_ms(150);
    EQUAL(OKAY(write(pair[1], "x", 1)), 1);
    EXITS(child, 0);
    /* With one. */
    child = CHILD({
        struct pollfd none = {.fd = -1};
        long from = now_ms();
        EQUAL(OKAY(poll(&none, 1, LIMIT_MS)), 0);
        took(from);
    });
    stop_often(child);
    EXITS(child, 0);
    child = CHILD({
        struct timespec limit = {0, LIMIT_MS * 1000000L};
        long from = now_ms();
        OKAY(nanosleep(&limit, NULL));
        took(from);
    });
    stop_often(child);
    EXITS(child, 0);
    return ok("stopped_waits");
}
