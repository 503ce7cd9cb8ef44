/* splice, tee and vmsplice between pipes, files and sockets. */
#include "guest.h"

int main(void)
{
    int a[2], b[2], sockets[2];
    char text[64];
    OKAY(pipe(a));
    OKAY(pipe(b));
    make_file("from", "spliced from a file");
    int from = (int)OKAY(open("from", O_RDONLY));
    int to = (int)OKAY(open("to", O_RDWR | O_CREAT, 0644));
    EQUAL(OKAY(splice(from, NULL, a[1], NULL, 100, 0)), 19);
    EQUAL(lseek(from, 0, SEEK_CUR), 19);
    EQUAL(OKAY(tee(a[0], b[1], 100, 0)), 19);
    off_t at = 3;
    EQUAL(OKAY(splice(a[0], NULL, to, &at, 100, 0)), 19);
    EQUAL(at, 22);
    EQUAL(OKAY(read(b[0], text, sizeof text)), 19);
    CHECK(memcmp(text, "spliced from a file", 19) == 0);
    EQUAL(OKAY(pread(to, text, sizeof text, 0)), 22);
    CHECK(memcmp(text, "\0\0\0spliced from a file", 22) == 0);

    at = 8;
    EQUAL(OKAY(splice(from, &at, a[1], NULL, 4, 0)), 4);
    EQUAL(OKAY(splice(a[0], NULL, b[1], NULL, 4, 0)), 4);
    EQUAL(OKAY(read(b[0], text, sizeof text)), 4);
    CHECK(memcmp(text, "from", 4) == 0);
    FAILS(splice(from, NULL, to, NULL, 1, 0), EINVAL);
    FAILS(splice(a[0], &at, b[1], NULL, 1, 0), ESPIPE);
    FAILS(splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    FAILS(tee(a[0], a[1], 1, 0), EINVAL);

    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    write_all(a[1], "to a socket", 11);
    EQUAL(OKAY(splice(a[0], NULL, sockets[0], NULL, 100, 0)), 11);
    EQUAL(OKAY(splice(sockets[1], NULL, b[1], NULL, 100, 0)), 11);
    EQUAL(OKAY(read(b[0], text, sizeof text)), 11);
    CHECK(memcmp(text, "to a socket", 11) == 0);

    struct iovec parts[2] = {{"user ", 5}, {"memory", 6}};
    EQUAL(OKAY(vmsplice(a[1], parts, 2, 0)), 11);
    EQUAL(OKAY(read(a[0], text, sizeof text)), 11);
    CHECK(memcmp(text, "user memory", 11) == 0);
    write_all(a[1], "other", 5);
    struct iovec into = {text, sizeof text};
    EQUAL(OKAY(vmsplice(a[0], &into, 1, 0)), 5);
    CHECK(memcmp(text, "other", 5) == 0);
    OKAY(unlink("from"));
    return ok("pipe_splice");
}
