/* Wild pointers answer EFAULT and do no harm. */
#include "guest.h"
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int fd, ends[2], sockets[2];

static void with(void *wild)
{
    struct iovec part = {wild, 16};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    long in = (long)wild;

    FAILS(syscall(SYS_open, in, O_RDONLY, 0), EFAULT);
    FAILS(syscall(SYS_openat, AT_FDCWD, in, O_RDONLY, 0), EFAULT);
    FAILS(syscall(SYS_stat, in, &part), EFAULT);
    FAILS(syscall(SYS_stat, ".", in), EFAULT);
    FAILS(syscall(SYS_fstat, fd, in), EFAULT);
    FAILS(syscall(SYS_lstat, ".", in), EFAULT);
    FAILS(syscall(SYS_newfstatat, AT_FDCWD, ".", in, 0), EFAULT);
    FAILS(syscall(SYS_statx, AT_FDCWD, ".", 0, STATX_SIZE, in), EFAULT);
    FAILS(syscall(SYS_access, in, F_OK), EFAULT);
    FAILS(syscall(SYS_pread64, fd, in, 16, 0), EFAULT);
    FAILS(syscall(SYS_pwrite64, fd, in, 16, 0), EFAULT);
    FAILS(syscall(SYS_write, ends[1], in, 16), EFAULT);
    FAILS(syscall(SYS_readv, fd, &part, 1), EFAULT);
    FAILS(syscall(SYS_writev, ends[1], &part, 1), EFAULT);
    FAILS(syscall(SYS_readv, fd, in, 1), EFAULT);
    FAILS(syscall(SYS_writev, fd, in, 1), EFAULT);
    FAILS(syscall(SYS_pipe, in), EFAULT);
    FAILS(syscall(SYS_pipe2, in, O_CLOEXEC), EFAULT);
    FAILS(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, in), EFAULT);
    FAILS(syscall(SYS_getcwd, in, 4096), EFAULT);
    FAILS(syscall(SYS_chdir, in), EFAULT);
    FAILS(syscall(SYS_mkdir, in, 0700), EFAULT);
    FAILS(syscall(SYS_rename, "file", in), EFAULT);
    FAILS(syscall(SYS_rename, in, "file"), EFAULT);
    FAILS(syscall(SYS_unlink, in), EFAULT);
    FAILS(syscall(SYS_link, in, "x"), EFAULT);
    FAILS(syscall(SYS_symlink, in, "x"), EFAULT);
    FAILS(syscall(SYS_readlink, in, &part, 1), EFAULT);
    FAILS(syscall(SYS_readlink, "link", in, 16), EFAULT);
    FAILS(syscall(SYS_truncate, in, 0), EFAULT);
    FAILS(syscall(SYS_chmod, in, 0), EFAULT);
    FAILS(syscall(SYS_uname, in), EFAULT);
    FAILS(syscall(SYS_sysinfo, in), EFAULT);
    FAILS(syscall(SYS_statfs, ".", in), EFAULT);
    FAILS(syscall(SYS_fstatfs, fd, in), EFAULT);
    FAILS(syscall(SYS_getrlimit, RLIMIT_NOFILE, in), EFAULT);
    FAILS(syscall(SYS_setrlimit, RLIMIT_NOFILE, in), EFAULT);
    FAILS(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, in), EFAULT);
    FAILS(syscall(SYS_getrusage, RUSAGE_SELF, in), EFAULT);
    FAILS(syscall(SYS_times, in), EFAULT);
    FAILS(syscall(SYS_nanosleep, in, NULL), EFAULT);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, in), EFAULT);
    FAILS(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, in, NULL), EFAULT);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, in, NULL, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, NULL, in, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, in, NULL, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, in, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigpending, in, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigsuspend, in, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigtimedwait, in, NULL, NULL, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, in), EFAULT);
    FAILS(syscall(SYS_sigaltstack, in, NULL), EFAULT);
    FAILS(syscall(SYS_setitimer, ITIMER_REAL, in, NULL), EFAULT);
    FAILS(syscall(SYS_getitimer, ITIMER_REAL, in), EFAULT);
    FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, in, &part), EFAULT);
    FAILS(syscall(SYS_futex, in, FUTEX_WAIT, 0, NULL, NULL, 0), in % 4 == 0 ? EFAULT : EINVAL);
    FAILS(syscall(SYS_poll, in, 1, 0), EFAULT);
    FAILS(syscall(SYS_ppoll, in, 1, NULL, NULL, 8), EFAULT);
    FAILS(syscall(SYS_select, 5, in, NULL, NULL, NULL), EFAULT);
    FAILS(syscall(SYS_select, 5, NULL, NULL, NULL, in), EFAULT);
    FAILS(syscall(SYS_getdents64, OKAY(open(".", O_RDONLY | O_DIRECTORY)), in, 4096), EFAULT);
    FAILS(syscall(SYS_bind, sockets[0], in, 16), EFAULT);
    FAILS(syscall(SYS_connect, sockets[0], in, 16), EFAULT);
    FAILS(syscall(SYS_getsockname, sockets[0], in, &(int){16}), EFAULT);
    FAILS(syscall(SYS_getsockname, sockets[0], &part, in), EFAULT);
    FAILS(syscall(SYS_getsockopt, sockets[0], SOL_SOCKET, SO_TYPE, in, &(int){4}), EFAULT);
    FAILS(syscall(SYS_getsockopt, sockets[0], SOL_SOCKET, SO_TYPE, &(int){4}, in), EFAULT);
    FAILS(syscall(SYS_setsockopt, sockets[0], SOL_SOCKET, SO_SNDBUF, in, 4), EFAULT);
    FAILS(syscall(SYS_sendto, sockets[0], in, 16, 0, NULL, 0), EFAULT);
    FAILS(syscall(SYS_sendmsg, sockets[0], in, 0), EFAULT);
    FAILS(syscall(SYS_sendmsg, sockets[0], &message, 0), EFAULT);
    FAILS(syscall(SYS_recvmsg, sockets[0], in, MSG_DONTWAIT), EFAULT);
    FAILS(syscall(SYS_fcntl, fd, F_GETLK, in), EFAULT);
    FAILS(syscall(SYS_fcntl, fd, F_SETLK, in), EFAULT);
    FAILS(syscall(SYS_ioctl, ends[0], FIONREAD, in), EFAULT);
    FAILS(syscall(SYS_execve, in, NULL, NULL), EFAULT);
    FAILS(syscall(SYS_execve, "/bin/true", in, NULL), EFAULT);
    FAILS(syscall(SYS_execve, "/bin/true", (char *[]){"true", wild, NULL}, NULL), EFAULT);
    FAILS(syscall(SYS_execve, "/bin/true", (char *[]){"true", NULL}, in), EFAULT);
    FAILS(syscall(SYS_getresuid, in, in, in), EFAULT);
    FAILS(syscall(SYS_getrandom, in, 16, 0), EFAULT);
    FAILS(syscall(SYS_memfd_create, in, 0), EFAULT);
    FAILS(syscall(SYS_sched_getaffinity, 0, 128, in), EFAULT);
    FAILS(syscall(SYS_prctl, PR_GET_NAME, in, 0, 0, 0), EFAULT);
    FAILS(syscall(SYS_clone3, in, 88), EFAULT);
    FAILS(syscall(SYS_epoll_ctl, sockets[0], EPOLL_CTL_ADD, ends[0], in), EFAULT);

    pid_t child = CHILD();
    FAILS(syscall(SYS_wait4, child, in, 0, NULL), EFAULT);
    child = CHILD();
    FAILS(syscall(SYS_waitid, P_PID, child, in, WEXITED, NULL), EFAULT);
}

int main(void)
{
    make_file("file", "0123456789abcdef0123456789abcdef");
    OKAY(symlink("file", "link"));
    fd = (int)OKAY(open("file", O_RDWR));
    OKAY(pipe(ends));
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    struct sigaction before, after;
    OKAY(sigaction(SIGUSR1, NULL, &before));

    void *unreadable = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(unreadable != MAP_FAILED);
    with((void *)8);
    with(unreadable);
    with((void *)0xdead00000000);
    with((void *)0x7ffffffff000);
    with((void *)0xffff888000000000);
    with((void *)-1L);

    /* Nothing was written, sent or changed. */
    SAME_TEXT(file_text("file"), "0123456789abcdef0123456789abcdef");
    int waiting = -1;
    OKAY(ioctl(ends[0], FIONREAD, &waiting));
    EQUAL(waiting, 0);
    OKAY(ioctl(sockets[1], FIONREAD, &waiting));
    EQUAL(waiting, 0);
    OKAY(sigaction(SIGUSR1, NULL, &after));
    CHECK(before.sa_handler == after.sa_handler);

    /* Read-only memory cannot be filled. */
    void *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAILS(syscall(SYS_pread64, fd, constant, 16, 0), EFAULT);
    FAILS(syscall(SYS_fstat, fd, constant), EFAULT);
    FAILS(syscall(SYS_pipe, constant), EFAULT);
    /* The byte a pipe read could not deliver is not lost. */
    write_all(ends[1], "kept", 4);
    FAILS(syscall(SYS_read, ends[0], constant, 4), EFAULT);
    char text[8];
    EQUAL(OKAY(read(ends[0], text, sizeof text)), 4);
    CHECK(memcmp(text, "kept", 4) == 0);
    OKAY(munmap(unreadable, 4096));
    return ok("errors_pointer");
}
