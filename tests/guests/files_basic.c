/* open, read, write, pread, pwrite, lseek, ftruncate, O_APPEND, O_EXCL, O_TRUNC on regular files. */
#include "guest.h"

int main(void)
{
    char buffer[64];
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
    FAILS(open("file", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    EQUAL(OKAY(write(fd, "hello, world", 12)), 12);
    EQUAL(lseek(fd, 0, SEEK_CUR), 12);
    EQUAL(OKAY(pread(fd, buffer, sizeof buffer, 7)), 5);
    CHECK(memcmp(buffer, "world", 5) == 0);
    EQUAL(lseek(fd, 0, SEEK_CUR), 12);
    EQUAL(OKAY(read(fd, buffer, 1)), 0);
    EQUAL(lseek(fd, -5, SEEK_END), 7);
    EQUAL(OKAY(read(fd, buffer, sizeof buffer)), 5);
    EQUAL(OKAY(pwrite(fd, "W", 1, 7)), 1);
    EQUAL(lseek(fd, 0, SEEK_SET), 0);
    EQUAL(OKAY(read(fd, buffer, 0)), 0);
    EQUAL(OKAY(read(fd, buffer, 12)), 12);
    CHECK(memcmp(buffer, "hello, World", 12) == 0);

    OKAY(ftruncate(fd, 5));
    struct stat st;
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, 5);
    EQUAL(OKAY(pread(fd, buffer, 1, 5)), 0);
    OKAY(ftruncate(fd, 10));
    EQUAL(OKAY(pread(fd, buffer, 64, 0)), 10);
    CHECK(memcmp(buffer, "hello\0\0\0\0\0", 10) == 0);
    OKAY(truncate("file", 3));
    EQUAL(lseek(fd, 0, SEEK_END), 3);

    /* A hole reads as zeros. */
    EQUAL(OKAY(pwrite(fd, "end", 3, 100000)), 3);
    EQUAL(OKAY(pread(fd, buffer, 8, 50000)), 8);
    CHECK(memcmp(buffer, "\0\0\0\0\0\0\0\0", 8) == 0);
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, 100003);

    /* Two opens have two positions; a dup shares one. */
    int other = (int)OKAY(open("file", O_RDONLY));
    int twin = (int)OKAY(dup(other));
    EQUAL(OKAY(read(other, buffer, 2)), 2);
    EQUAL(lseek(twin, 0, SEEK_CUR), 2);
    EQUAL(lseek(fd, 0, SEEK_CUR), 3);
    FAILS(write(other, "x", 1), EBADF);
    OKAY(close(other));
    OKAY(close(twin));

    int append = (int)OKAY(open("file", O_WRONLY | O_APPEND));
    EQUAL(OKAY(write(append, "+1", 2)), 2);
    OKAY(lseek(append, 0, SEEK_SET));
    EQUAL(OKAY(write(append, "+2", 2)), 2);
    FAILS(read(append, buffer, 1), EBADF);
    OKAY(close(append));
    EQUAL(OKAY(pread(fd, buffer, 16, 100000)), 7);
    CHECK(memcmp(buffer, "end+1+2", 7) == 0);

    OKAY(close(OKAY(open("file", O_WRONLY | O_TRUNC))));
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, 0);
    OKAY(close(fd));
    FAILS(close(fd), EBADF);
    make_file("left", "left behind\n");
    return ok("files_basic");
}
