/* Lengths that are negative, huge, zero or cross an unmapped page. */
#include "guest.h"

int main(void)
{
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(two != MAP_FAILED);
    OKAY(munmap(two + 4096, 4096));
    char *edge = two + 4096;
    memset(two, 'e', 4096);

    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    write_all(fd, "0123456789", 10);
    OKAY(lseek(fd, 0, SEEK_SET));

    /* As much as there is room for, if there is enough; the buffer's claimed end does not matter. */
    EQUAL(OKAY(syscall(SYS_read, fd, two, 1l << 20)), 10);
    EQUAL(OKAY(syscall(SYS_pread64, fd, two, 1l << 30, 5)), 5);
    FAILS(syscall(SYS_pread64, fd, two, SIZE_MAX >> 1, 5), EFAULT);
    EQUAL(OKAY(syscall(SYS_pread64, fd, edge - 10, 4096, 0)), 10);
    EQUAL(OKAY(syscall(SYS_pread64, fd, NULL, 0, 0)), 0);
    EQUAL(OKAY(syscall(SYS_write, fd, NULL, 0)), 0);
    FAILS(syscall(SYS_pread64, fd, two, (size_t)-1, 0), EFAULT);
    FAILS(syscall(SYS_pwrite64, fd, two, (size_t)-1, 0), EFAULT);

    struct iovec parts[2] = {{two, (size_t)-1}, {two, 1}};
    FAILS(readv(fd, parts, 1), EINVAL);
    FAILS(writev(fd, parts, 2), EINVAL);
    parts[0].iov_len = SSIZE_MAX;
    OKAY(lseek(fd, 0, SEEK_SET));
    EQUAL(OKAY(readv(fd, parts, 1)), 10);
    FAILS(syscall(SYS_readv, fd, parts, -1), EINVAL);
    FAILS(syscall(SYS_readv, fd, parts, 1 << 20), EINVAL);
    FAILS(syscall(SYS_preadv, fd, parts, 1, -1l, -1l), EINVAL);

    int sockets[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = SIZE_MAX};
    FAILS(sendmsg(sockets[0], &message, 0), EMSGSIZE);
    FAILS(recvmsg(sockets[0], &message, MSG_DONTWAIT), EMSGSIZE);
    FAILS(bind(sockets[0], (void *)two, 4096), EINVAL);
    FAILS(syscall(SYS_bind, sockets[0], two, -1), EINVAL);
    FAILS(syscall(SYS_connect, sockets[0], two, -1), EINVAL);
    socklen_t negative = (socklen_t)-1;
    FAILS(getsockname(sockets[0], (void *)two, &negative), EINVAL);
    int type;
    FAILS(getsockopt(sockets[0], SOL_SOCKET, SO_TYPE, &type, &negative), EINVAL);
    FAILS(syscall(SYS_setsockopt, sockets[0], SOL_SOCKET, SO_SNDBUF, two, -1), EINVAL);

    FAILS(syscall(SYS_readlink, "file", two, -1), EINVAL);
    FAILS(syscall(SYS_readlink, "file", two, 0), EINVAL);
    FAILS(syscall(SYS_poll, two, -1, 0), EINVAL);
    FAILS(syscall(SYS_select, -1, NULL, NULL, NULL, NULL), EINVAL);
    FAILS(syscall(SYS_getgroups, -1, two), EINVAL);
    FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, two, 4), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, NULL, two, 16), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, 65, NULL, two, 8), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, SIGKILL, two, NULL, 8), EINVAL);
    FAILS(syscall(SYS_clone3, two, 1), EINVAL);
    FAILS(syscall(SYS_clone3, two, 1 << 20), E2BIG);
    FAILS(syscall(SYS_nanosleep, &(struct timespec){-1, 0}, NULL), EINVAL);
    FAILS(syscall(SYS_nanosleep, &(struct timespec){0, 1000000000}, NULL), EINVAL);
    FAILS(syscall(SYS_mmap, NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(syscall(SYS_mmap, NULL, 1l << 50, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
    FAILS(syscall(SYS_munmap, two + 1, 4096), EINVAL);

    /* A string or structure that ends exactly at the edge is whole; one byte less is not. */
    memcpy(edge - 5, "file", 5);
    struct stat st;
    OKAY(stat(edge - 5, &st));
    OKAY(syscall(SYS_stat, "file", edge - sizeof st));
    FAILS(syscall(SYS_stat, "file", edge - sizeof st + 1), EFAULT);
    memset(edge - 4, 'f', 4);
    FAILS(syscall(SYS_open, edge - 4, O_RDONLY, 0), EFAULT);
    return ok("errors_length");
}
