/* fcntl and dup; the lowest free number; many descriptors; close_range; closing all of them. */
#include "guest.h"

static int opened(void)
{
    int count = 0;
    for (int fd = 0; fd < 2000; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

int main(void)
{
    /* How many there are is for the harness to compare. */
    printf("%d descriptors at the start\n", opened());
    fflush(stdout);
    OKAY(syscall(SYS_close_range, 3, ~0u, 0));
    int at_start = opened();
    EQUAL(at_start, 3);
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT | O_NONBLOCK, 0600));
    EQUAL(fd, 3);
    EQUAL(OKAY(dup(fd)), 4);
    EQUAL(OKAY(dup2(fd, 10)), 10);
    EQUAL(OKAY(dup2(fd, fd)), fd);
    EQUAL(OKAY(dup3(fd, 11, O_CLOEXEC)), 11);
    EQUAL(OKAY(fcntl(11, F_GETFD)), FD_CLOEXEC);
    EQUAL(OKAY(fcntl(10, F_GETFD)), 0);
    EQUAL(OKAY(fcntl(fd, F_DUPFD, 100)), 100);
    EQUAL(OKAY(fcntl(fd, F_DUPFD_CLOEXEC, 100)), 101);
    EQUAL(OKAY(fcntl(101, F_GETFD)), FD_CLOEXEC);
    OKAY(fcntl(101, F_SETFD, 0));
    EQUAL(OKAY(fcntl(101, F_GETFD)), 0);
    OKAY(close(4));
    int ends[2];
    OKAY(pipe(ends));
    EQUAL(ends[0], 4);
    EQUAL(ends[1], 5);
    EQUAL(OKAY(fcntl(fd, F_GETFL)), O_RDWR | O_NONBLOCK | 0100000);
    /* Status flags belong to the open file, descriptor flags to the descriptor. */
    OKAY(fcntl(10, F_SETFL, O_APPEND));
    EQUAL(OKAY(fcntl(fd, F_GETFL)), O_RDWR | O_APPEND | 0100000);
    OKAY(fcntl(ends[0], F_SETOWN, getpid()));
    EQUAL(OKAY(fcntl(ends[0], F_GETOWN)), getpid());

    for (int i = 0; i < 500; i++)
        CHECK(OKAY(dup(fd)) > 5);
    EQUAL(opened(), at_start + 1 + 2 + 4 + 500);
    OKAY(syscall(SYS_close_range, 200, 300, 0));
    FAILS(fcntl(250, F_GETFD), EBADF);
    OKAY(fcntl(301, F_GETFD));
    OKAY(syscall(SYS_close_range, 301, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
    EQUAL(OKAY(fcntl(301, F_GETFD)), FD_CLOEXEC);
    OKAY(syscall(SYS_close_range, 4, ~0u, 0));
    EQUAL(opened(), at_start + 1);
    FAILS(syscall(SYS_close_range, 5, 4, 0), EINVAL);

    /* Closing and replacing the standard ones; everything still works after all are closed. */
    pid_t child = CHILD({
        for (int i = 0; i < 1024; i++)
            close(i);
        EQUAL(OKAY(open("/dev/null", O_RDWR)), 0);
        EQUAL(OKAY(open("late", O_WRONLY | O_CREAT, 0644)), 1);
        EQUAL(OKAY(dup(1)), 2);
        write_all(2, "before exec ", 12);
        OKAY(execl("/bin/echo", "echo", "after exec", NULL));
    });
    EXITS(child, 0);
    SAME_TEXT(file_text("late"), "before exec after exec\n");

    /* /dev/fd and /proc/self/fd open anew. */
    write_all(fd, "0123", 4);
    int again = (int)OKAY(open("/dev/fd/3", O_RDONLY));
    EQUAL(lseek(again, 0, SEEK_CUR), 0);
    return ok("descriptors");
}
