/* The errno of calls on descriptors that do not exist or are of the wrong kind. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/sendfile.h>

int main(void)
{
    char buffer[64];
    struct stat st;
    struct iovec part = {buffer, sizeof buffer};
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    static const int wrong[] = {-1, 500, 1 << 20, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int fd = wrong[i];
        FAILS(read(fd, buffer, 1), EBADF);
        FAILS(write(fd, buffer, 1), EBADF);
        FAILS(read(fd, buffer, 0), EBADF);
        FAILS(pread(fd, buffer, 1, 0), EBADF);
        FAILS(readv(fd, &part, 1), EBADF);
        FAILS(writev(fd, &part, 1), EBADF);
        FAILS(close(fd), EBADF);
        FAILS(fstat(fd, &st), EBADF);
        FAILS(lseek(fd, 0, SEEK_SET), EBADF);
        FAILS(dup(fd), EBADF);
        FAILS(dup2(fd, 5), EBADF);
        FAILS(fcntl(fd, F_GETFL), EBADF);
        FAILS(ioctl(fd, FIONREAD, &length), EBADF);
        FAILS(ftruncate(fd, 0), EBADF);
        FAILS(fsync(fd), EBADF);
        FAILS(fchmod(fd, 0600), EBADF);
        FAILS(fchdir(fd), EBADF);
        FAILS(syscall(SYS_getdents64, fd, buffer, sizeof buffer), EBADF);
        FAILS(listen(fd, 1), EBADF);
        FAILS(accept(fd, NULL, NULL), EBADF);
        FAILS(send(fd, buffer, 1, 0), EBADF);
        FAILS(recv(fd, buffer, 1, 0), EBADF);
        FAILS(getsockname(fd, (struct sockaddr *)&address, &length), EBADF);
        FAILS(shutdown(fd, SHUT_RD), EBADF);
        FAILS(epoll_wait(fd, &event, 1, 0), EBADF);
        FAILS(epoll_ctl(fd, EPOLL_CTL_ADD, 0, &event), EBADF);
        FAILS(sendfile(1, fd, NULL, 1), EBADF);
        void *none = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(none == MAP_FAILED && errno == EBADF);
        if (fd != AT_FDCWD) {
            FAILS(openat(fd, "file", O_RDONLY), EBADF);
            FAILS(unlinkat(fd, "file", 0), EBADF);
        }
        struct pollfd poll_one = {.fd = fd, .events = POLLIN};
        EQUAL(OKAY(poll(&poll_one, 1, 0)), fd < 0 ? 0 : 1);
        EQUAL(poll_one.revents, fd < 0 ? 0 : POLLNVAL);
    }

    int file = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    FAILS(listen(file, 1), ENOTSOCK);
    FAILS(send(file, buffer, 1, 0), ENOTSOCK);
    FAILS(getsockname(file, (struct sockaddr *)&address, &length), ENOTSOCK);
    FAILS(lseek(file, -1, SEEK_SET), EINVAL);
    FAILS(lseek(file, 0, 99), EINVAL);
    FAILS(pread(file, buffer, 1, -1), EINVAL);
    FAILS(pwrite(file, buffer, 1, -1), EINVAL);
    FAILS(ftruncate(file, -1), EINVAL);
    FAILS(fcntl(file, 9999), EINVAL);
    FAILS(dup2(file, -1), EBADF);
    FAILS(dup3(file, file, 0), EINVAL);
    FAILS(dup3(file, 20, 1), EINVAL);
    FAILS(ioctl(file, 0x12345678), ENOTTY);
    FAILS(epoll_wait(file, &event, 1, 0), EINVAL);
    int set = (int)OKAY(epoll_create1(0));
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM);
    FAILS(epoll_create1(-1), EINVAL);
    FAILS(epoll_wait(set, &event, 0, 0), EINVAL);
    FAILS(epoll_wait(set, &event, -1, 0), EINVAL);

    int ends[2];
    OKAY(pipe(ends));
    FAILS(lseek(ends[0], 0, SEEK_SET), ESPIPE);
    FAILS(pread(ends[0], buffer, 1, 0), ESPIPE);
    FAILS(pwrite(ends[1], buffer, 1, 0), ESPIPE);
    FAILS(ftruncate(ends[1], 0), EINVAL);
    FAILS(fsync(ends[1]), EINVAL);
    FAILS(write(ends[0], buffer, 1), EBADF);
    FAILS(read(ends[1], buffer, 1), EBADF);
    FAILS(fchdir(ends[0]), ENOTDIR);
    void *none = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, ends[0], 0);
    CHECK(none == MAP_FAILED && errno == ENODEV);
    FAILS(pipe2(ends, 1), EINVAL);
    FAILS(socket(9999, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(socket(AF_UNIX, 999, 0), EINVAL);
    FAILS(socket(AF_INET, SOCK_STREAM, 9999), EINVAL);
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, ends), EOPNOTSUPP);
    return ok("errors_descriptor");
}
