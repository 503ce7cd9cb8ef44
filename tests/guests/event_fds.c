/* eventfd, timerfd, signalfd, memfd, pidfd. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static void eventfds(void)
{
    uint64_t value;
    int fd = (int)OKAY(eventfd(3, EFD_NONBLOCK));
    EQUAL(OKAY(read(fd, &value, 8)), 8);
    EQUAL(value, 3);
    FAILS(read(fd, &value, 8), EAGAIN);
    FAILS(read(fd, &value, 4), EINVAL);
    value = UINT64_MAX - 1;
    EQUAL(OKAY(write(fd, &value, 8)), 8);
    FAILS(write(fd, &(uint64_t){1}, 8), EAGAIN);
    FAILS(write(fd, &(uint64_t){UINT64_MAX}, 8), EINVAL);
    fd = (int)OKAY(eventfd(2, EFD_SEMAPHORE));
    EQUAL(OKAY(read(fd, &value, 8)), 8);
    EQUAL(value, 1);
    EQUAL(OKAY(read(fd, &value, 8)), 8);
    EQUAL(OKAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN | POLLOUT}, 1, 0)), 1);
    /* Between processes. */
    int done = (int)OKAY(eventfd(0, 0));
    pid_t child = CHILD({
        for (int i = 0; i < 100; i++) {
            EQUAL(OKAY(read(fd, &value, 8)), 8);
            value = 1;
            EQUAL(OKAY(write(done, &value, 8)), 8);
        }
    });
    for (int i = 0; i < 100; i++) {
        value = 1;
        EQUAL(OKAY(write(fd, &value, 8)), 8);
        EQUAL(OKAY(read(done, &value, 8)), 8);
        EQUAL(value, 1);
    }
    EXITS(child, 0);
}

static void timerfds(void)
{
    uint64_t expirations;
    int fd = (int)OKAY(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct itimerspec when = {.it_value = {0, 5000000}}, left;
    OKAY(timerfd_settime(fd, 0, &when, NULL));
    EQUAL(OKAY(read(fd, &expirations, 8)), 8);
    EQUAL(expirations, 1);
    when = (struct itimerspec){{0, 1000000}, {0, 1000000}};
    OKAY(timerfd_settime(fd, 0, &when, NULL));
    pause_ms(20);
    EQUAL(OKAY(read(fd, &expirations, 8)), 8);
    CHECK(expirations >= 10);
    when = (struct itimerspec){.it_value = {100, 0}};
    OKAY(timerfd_settime(fd, 0, &when, &left));
    EQUAL(left.it_interval.tv_nsec, 1000000);
    OKAY(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_sec >= 90);
    EQUAL(OKAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0)), 0);
    OKAY(fcntl(fd, F_SETFL, O_NONBLOCK));
    FAILS(read(fd, &expirations, 8), EAGAIN);
    struct timespec now;
    OKAY(clock_gettime(CLOCK_MONOTONIC, &now));
    when.it_value = now;
    OKAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL));
    EQUAL(OKAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1)), 1);
    FAILS(timerfd_create(99, 0), EINVAL);
}

static void signalfds(void)
{
    sigset_t set;
    struct signalfd_siginfo info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGCHLD);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = (int)OKAY(signalfd(-1, &set, SFD_NONBLOCK));
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    OKAY(raise(SIGUSR1));
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGUSR1);
    EQUAL(info.ssi_pid, getpid());
    OKAY(fcntl(fd, F_SETFL, 0));
    /* In an epoll set, from another process, while we wait. */
    int poller = (int)OKAY(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    OKAY(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
    pid_t self = getpid();
    pid_t child = CHILD({
        await_state(self, 'S');
        OKAY(sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 321}));
        _exit(6);
    });
    EQUAL(OKAY(epoll_wait(poller, &event, 1, -1)), 1);
    bool queued = false, ended = false;
    while (!queued || !ended) {
        EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
        EQUAL(info.ssi_pid, child);
        if (info.ssi_signo == (uint32_t)SIGRTMIN) {
            queued = true;
            EQUAL(info.ssi_int, 321);
            EQUAL(info.ssi_code, SI_QUEUE);
        } else {
            EQUAL(info.ssi_signo, SIGCHLD);
            ended = true;
            EQUAL(info.ssi_status, 6);
            EQUAL(info.ssi_code, CLD_EXITED);
        }
    }
    EXITS(child, 6);
    /* Blocked in read until it comes. */
    child = CHILD({
        await_state(self, 'S');
        OKAY(kill(self, SIGUSR1));
    });
    EQUAL(OKAY(read(fd, &info, sizeof info)), sizeof info);
    EQUAL(info.ssi_signo, SIGUSR1);
    EXITS(child, 0);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void memfds(void)
{
    char text[16];
    int fd = (int)OKAY(memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    write_all(fd, "in memory", 9);
    EQUAL(OKAY(pread(fd, text, sizeof text, 0)), 9);
    OKAY(ftruncate(fd, 4096));
    OKAY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
    FAILS(ftruncate(fd, 0), EPERM);
    FAILS(write(fd, "x", 1), EPERM);
    EQUAL(OKAY(fcntl(fd, F_GET_SEALS)), F_SEAL_SHRINK | F_SEAL_WRITE);
    char *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(mapped != MAP_FAILED && memcmp(mapped, "in memory", 9) == 0);
}

static void pidfds(void)
{
    int ends[2];
    OKAY(pipe(ends));
    pid_t child = CHILD({
        for (;;)
            pause();
    });
    int fd = (int)OKAY(syscall(SYS_pidfd_open, child, 0));
    OKAY(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    int copy = (int)syscall(SYS_pidfd_getfd, fd, ends[1], 0);
    if (copy != -1) {
        tell(copy);
        await(ends[0]);
        FAILS(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
    } else {
        EQUAL(errno, EPERM);
    }
    OKAY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    EQUAL(OKAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1)), 1);
    DIES(child, SIGTERM);
    FAILS(syscall(SYS_pidfd_open, child, 0), ESRCH);
    FAILS(syscall(SYS_pidfd_open, 0, 0), EINVAL);
}

int main(void)
{
    eventfds();
    timerfds();
    signalfds();
    memfds();
    pidfds();
    return ok("event_fds");
}
