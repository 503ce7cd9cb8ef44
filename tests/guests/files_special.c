/* /dev/null, zero, full, urandom; FIFOs. */
#include "guest.h"

int main(void)
{
    char buffer[4096], other[4096];
    int fd = (int)OKAY(open("/dev/null", O_RDWR));
    EQUAL(OKAY(write(fd, buffer, sizeof buffer)), sizeof buffer);
    EQUAL(OKAY(read(fd, buffer, sizeof buffer)), 0);
    EQUAL(lseek(fd, 100, SEEK_SET), 0);
    fd = (int)OKAY(open("/dev/zero", O_RDWR));
    memset(buffer, 1, sizeof buffer);
    memset(other, 0, sizeof other);
    EQUAL(OKAY(read(fd, buffer, sizeof buffer)), sizeof buffer);
    CHECK(memcmp(buffer, other, sizeof buffer) == 0);
    fd = (int)OKAY(open("/dev/full", O_RDWR));
    FAILS(write(fd, buffer, 1), ENOSPC);
    fd = (int)OKAY(open("/dev/urandom", O_RDONLY));
    EQUAL(OKAY(read(fd, buffer, sizeof buffer)), sizeof buffer);
    EQUAL(OKAY(read(fd, other, sizeof other)), sizeof other);
    CHECK(memcmp(buffer, other, sizeof buffer) != 0);

    OKAY(mkfifo("fifo", 0600));
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int in = (int)OKAY(open("fifo", O_RDONLY | O_NONBLOCK));
    EQUAL(OKAY(read(in, buffer, 1)), 0);
    int out = (int)OKAY(open("fifo", O_WRONLY));
    FAILS(read(in, buffer, 1), EAGAIN);
    write_all(out, "through", 7);
    EQUAL(OKAY(read(in, buffer, sizeof buffer)), 7);
    OKAY(close(in));
    OKAY(close(out));

    /* A blocking open waits for the other side. */
    pid_t writer = CHILD({
        int mine = (int)OKAY(open("fifo", O_WRONLY));
        write_all(mine, "from the child", 14);
    });
    in = (int)OKAY(open("fifo", O_RDONLY));
    EQUAL(read_all(in, buffer, sizeof buffer), 14);
    EXITS(writer, 0);
    return ok("files_special");
}
