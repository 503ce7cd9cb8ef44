/* Pipes: end of file, EPIPE, O_NONBLOCK, PIPE_BUF, FIONREAD, F_SETPIPE_SZ, packets. */
#include "guest.h"

int main(void)
{
    int ends[2];
    char buffer[128 * 1024];
    signal(SIGPIPE, SIG_IGN);
    OKAY(pipe2(ends, O_CLOEXEC));
    EQUAL(OKAY(fcntl(ends[0], F_GETFD)), FD_CLOEXEC);
    EQUAL(OKAY(fcntl(ends[0], F_GETFL)) & O_ACCMODE, O_RDONLY);
    EQUAL(OKAY(fcntl(ends[1], F_GETFL)) & O_ACCMODE, O_WRONLY);
    EQUAL(OKAY(write(ends[1], "abc", 3)), 3);
    EQUAL(OKAY(write(ends[1], "def", 3)), 3);
    int waiting;
    OKAY(ioctl(ends[0], FIONREAD, &waiting));
    EQUAL(waiting, 6);
    EQUAL(OKAY(read(ends[0], buffer, 2)), 2);
    EQUAL(OKAY(read(ends[0], buffer, sizeof buffer)), 4);
    CHECK(memcmp(buffer, "cdef", 4) == 0);
    OKAY(close(ends[1]));
    EQUAL(OKAY(read(ends[0], buffer, 1)), 0);
    OKAY(close(ends[0]));

    OKAY(pipe(ends));
    OKAY(close(ends[0]));
    FAILS(write(ends[1], "x", 1), EPIPE);
    OKAY(close(ends[1]));

    OKAY(pipe2(ends, O_NONBLOCK));
    FAILS(read(ends[0], buffer, 1), EAGAIN);
    EQUAL(OKAY(fcntl(ends[1], F_GETPIPE_SZ)), 65536);
    memset(buffer, 'x', sizeof buffer);
    EQUAL(OKAY(write(ends[1], buffer, sizeof buffer)), 65536);
    FAILS(write(ends[1], buffer, 1), EAGAIN);
    EQUAL(OKAY(read(ends[0], buffer, 4095)), 4095);
    /* No whole page is free, so no write of up to PIPE_BUF is split. */
    FAILS(write(ends[1], buffer, PIPE_BUF), EAGAIN);
    EQUAL(OKAY(read(ends[0], buffer, 1)), 1);
    EQUAL(OKAY(write(ends[1], buffer, PIPE_BUF)), PIPE_BUF);
    CHECK(OKAY(fcntl(ends[1], F_SETPIPE_SZ, 131072)) >= 131072);
    EQUAL(OKAY(write(ends[1], buffer, 65536)), 65536);
    OKAY(ioctl(ends[1], FIONREAD, &waiting));
    EQUAL(waiting, 131072);
    EQUAL(OKAY(read(ends[0], buffer, sizeof buffer)), sizeof buffer);
    OKAY(fcntl(ends[0], F_SETFL, 0));
    EQUAL(OKAY(fcntl(ends[0], F_GETFL)) & O_NONBLOCK, 0);
    EQUAL(OKAY(fcntl(ends[1], F_GETFL)) & O_NONBLOCK, O_NONBLOCK);

    int packets[2];
    OKAY(pipe2(packets, O_DIRECT));
    EQUAL(OKAY(write(packets[1], "one", 3)), 3);
    EQUAL(OKAY(write(packets[1], "second", 6)), 6);
    EQUAL(OKAY(read(packets[0], buffer, 2)), 2);
    EQUAL(OKAY(read(packets[0], buffer, sizeof buffer)), 6);

    /* A blocked reader is woken by data, and by the last writer's close. */
    int there[2], back[2];
    OKAY(pipe(there));
    OKAY(pipe(back));
    pid_t child = CHILD({
        close(there[1]);
        close(back[0]);
        for (;;) {
            long n = OKAY(read(there[0], buffer, sizeof buffer));
            if (n == 0)
                _exit(7);
            write_all(back[1], buffer, (size_t)n);
        }
    });
    close(there[0]);
    close(back[1]);
    for (int i = 0; i < 200; i++) {
        write_all(there[1], &i, sizeof i);
        int echo;
        EQUAL(read_all(back[0], &echo, sizeof echo), sizeof echo);
        EQUAL(echo, i);
    }
    close(there[1]);
    EXITS(child, 7);
    EQUAL(OKAY(read(back[0], buffer, 1)), 0);
    return ok("pipe_basic");
}
