/* Processes by descriptor, signals with a value, groups and sessions, and the calls that wait. */
#include "shown.h"
#include <sys/resource.h>

#define NOBODY 0x7ffffffe

static void descriptors(void)
{
    int pipe_[2];
    OKAY(pipe(pipe_));
    TRY(pidfd_open, 0, 0);
    TRY(pidfd_open, -1, 0);
    TRY(pidfd_open, NOBODY, 0);
    TRY(pidfd_open, getpid(), 0x100);
    pid_t child = CHILD({
        int number = open("plain", O_RDWR);
        EQUAL(write(pipe_[1], &number, sizeof number), sizeof number);
        pause();
    });
    int pidfd = (int)TRY(pidfd_open, child, O_NONBLOCK), number;
    siginfo_t info = {0};
    TRY(waitid, P_PIDFD, pidfd, &info, WEXITED, NULL);
    OKAY(fcntl(pidfd, F_SETFL, 0));
    EQUAL(read(pipe_[0], &number, sizeof number), sizeof number);
    TRY(fcntl, pidfd, F_GETFL);
    int copied = (int)TRY(pidfd_getfd, pidfd, number, 0);
    EQUAL(write(copied, "by another", 10), 10);
    SAME_TEXT(file_text("plain"), "by another");
    OKAY(close(copied));
    TRY(pidfd_getfd, pidfd, 99, 0);
    TRY(pidfd_getfd, pidfd, number, 1);
    TRY(pidfd_getfd, -1, number, 0);
    TRY(pidfd_getfd, 0, number, 0);
    TRY(pidfd_send_signal, pidfd, 0, NULL, 0);
    TRY(pidfd_send_signal, pidfd, 77, NULL, 0);
    TRY(pidfd_send_signal, pidfd, SIGUSR1, WILD, 0);
    TRY(pidfd_send_signal, pidfd, SIGUSR1, NULL, 0x100);
    TRY(pidfd_send_signal, -1, SIGUSR1, NULL, 0);
    TRY(pidfd_send_signal, 0, SIGUSR1, NULL, 0);
    info = (siginfo_t){.si_signo = SIGUSR2, .si_code = SI_QUEUE};
    TRY(pidfd_send_signal, pidfd, SIGUSR1, &info, 0);
    TRY(process_mrelease, pidfd, 0);
    TRY(process_mrelease, pidfd, 1);
    TRY(process_mrelease, -1, 0);
    TRY(process_mrelease, 0, 0);
    TRY(pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    struct pollfd polled = {pidfd, POLLIN, 0};
    TRY(poll, &polled, 1, 10000);
    memset(&info, 0, sizeof info);
    TRY(waitid, P_PIDFD, pidfd, &info, WEXITED, NULL);
    SHOW(info.si_status);
    SHOW(info.si_code);
    TRY(pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    TRY(process_mrelease, pidfd, 0);
    TRY(waitid, P_PIDFD, pidfd, &info, WEXITED, NULL);
    OKAY(close(pidfd));
    OKAY(close(pipe_[0]));
    OKAY(close(pipe_[1]));
}

static volatile sig_atomic_t code, value, sender;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    code = info->si_code;
    value = info->si_value.sival_int;
    sender = info->si_pid == getpid();
}

static void signals(void)
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_value.sival_int = 5};
    info.si_pid = getpid();
    handle(SIGUSR1, hear, 0);
    TRY(rt_sigqueueinfo, getpid(), SIGUSR1, &info);
    SHOW(code);
    SHOW(value);
    info.si_value.sival_int = 6;
    TRY(rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info);
    SHOW(value);
    TRY(rt_tgsigqueueinfo, getpid(), NOBODY, SIGUSR1, &info);
    TRY(rt_tgsigqueueinfo, NOBODY, gettid(), SIGUSR1, &info);
    TRY(rt_tgsigqueueinfo, -1, gettid(), SIGUSR1, &info);
    TRY(rt_tgsigqueueinfo, getpid(), gettid(), 77, &info);
    TRY(rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, WILD);
    TRY(rt_sigqueueinfo, getpid(), SIGUSR1, WILD);
    info.si_code = SI_USER;
    TRY(rt_sigqueueinfo, getppid(), 0, &info);
    TRY(tkill, gettid(), SIGUSR1);
    SHOW(code);
    SHOW(sender);
    TRY(tkill, NOBODY, SIGUSR1);
    TRY(tkill, -1, SIGUSR1);
    TRY(tkill, gettid(), 77);
    TRY(tgkill, getpid(), gettid(), 0);
    TRY(tgkill, getpid(), NOBODY, 0);
    TRY(tgkill, NOBODY, gettid(), 0);
    TRY(tgkill, -1, gettid(), 0);
    TRY(kill, NOBODY, SIGTERM);
    TRY(kill, getpid(), 77);
    TRY(kill, -NOBODY, 0);
    TRY(rt_sigaction, SIGKILL, NULL, NULL, 8);
    TRY(rt_sigaction, SIGKILL, (&(uint64_t[4]){0}), NULL, 8);
    TRY(rt_sigaction, 77, NULL, NULL, 8);
    TRY(rt_sigaction, SIGUSR1, WILD, NULL, 8);
    TRY(rt_sigaction, SIGUSR1, NULL, WILD, 8);
    TRY(rt_sigaction, SIGUSR1, NULL, NULL, 4);
    TRY(alarm, 100);
    TRY(alarm, 0);
}

static void groups(void)
{
    TRY(setpgid, NOBODY, 0);
    TRY(setpgid, -1, 0);
    TRY(setpgid, 0, -1);
    TRY(setpgid, 1, 0);
    TRY(getpgid, NOBODY);
    TRY(getpgid, -1);
    TRY(getsid, NOBODY);
    APART({
        TRY(setpgid, 0, 0);
        EQUAL(RAW(getpgrp), getpid());
        EQUAL(RAW(getpgid, 0), getpid());
        TRY(setsid);
    });
    APART({
        CHECK(RAW(setsid) == getpid());
        EQUAL(RAW(getsid, 0), getpid());
        TRY(setpgid, 0, 0);
    });
}

static void waiting(void)
{
    siginfo_t info = {0};
    int status;
    struct rusage usage;
    TRY(wait4, -1, &status, 0, NULL);
    TRY(wait4, NOBODY, &status, 0, NULL);
    TRY(wait4, INT_MIN, &status, 0, NULL);
    TRY(wait4, -1, &status, 0x100, NULL);
    TRY(waitid, P_ALL, 0, &info, 0, NULL);
    TRY(waitid, P_ALL, 0, &info, WEXITED, NULL);
    TRY(waitid, 77, 0, &info, WEXITED, NULL);
    TRY(waitid, P_PID, 0, &info, WEXITED, NULL);
    TRY(waitid, P_PIDFD, -1, &info, WEXITED, NULL);
    TRY(waitid, P_PIDFD, 0, &info, WEXITED, NULL);
    pid_t child = CHILD({ pause(); });
    TRY(wait4, child, &status, WNOHANG, &usage);
    TRY(waitid, P_PID, child, &info, WEXITED | WNOHANG, NULL);
    OKAY(kill(child, SIGSTOP));
    EQUAL(RAW(wait4, child, &status, WUNTRACED, &usage), child);
    SHOW(status);
    OKAY(kill(child, SIGCONT));
    EQUAL(RAW(wait4, child, &status, WCONTINUED, &usage), child);
    SHOW(status);
    OKAY(kill(child, SIGKILL));
    TRY(waitid, P_PID, child, &info, WEXITED | WNOWAIT, &usage);
    SHOW(info.si_status);
    EQUAL(RAW(wait4, child, WILD, 0, NULL), -1);
    SHOW(errno == EFAULT);
    TRY(wait4, child, &status, 0, NULL);
    TRY(getrusage, 77, &usage);
    TRY(getrusage, RUSAGE_SELF, WILD);
    TRY_SOME(times, WILD);
}

static void selecting(void)
{
    // Two sets of bits, a time and a mask, as the kernel takes them.
    unsigned long in[16] = {1 << 3}, out[16] = {0};
    struct timespec none = {0, 0}, odd = {0, -1};
    sigset_t set;
    sigemptyset(&set);
    struct {
        const void *set;
        size_t bytes;
    } mask = {&set, 8}, wrong = {&set, 7}, wild = {WILD, 8};
    int event = (int)RAW(eventfd2, 1, 0);
    EQUAL(event, 3);
    TRY(pselect6, 4, in, out, NULL, &none, &mask);
    SHOW(in[0]);
    TRY(pselect6, 4, in, out, NULL, &odd, &mask);
    TRY(pselect6, 4, in, out, NULL, &none, &wrong);
    TRY(pselect6, 4, in, out, NULL, &none, &wild);
    TRY(pselect6, 4, in, out, NULL, &none, WILD);
    TRY(pselect6, 4, WILD, out, NULL, &none, NULL);
    TRY(pselect6, -1, in, out, NULL, &none, NULL);
    TRY(pselect6, 4, in, out, NULL, WILD, NULL);
    in[0] = 1 << 9;
    TRY(pselect6, 10, in, out, NULL, &none, NULL);
    struct pollfd polled[2] = {{event, POLLIN | POLLOUT, 0}, {99, POLLIN, 0}};
    TRY(ppoll, polled, 2, &none, &set, 8);
    SHOW(polled[0].revents);
    SHOW(polled[1].revents);
    TRY(ppoll, polled, 2, &odd, NULL, 0);
    TRY(ppoll, polled, 2, &none, &set, 7);
    TRY(ppoll, polled, 2, &none, WILD, 8);
    TRY(ppoll, WILD, 2, &none, NULL, 0);
    TRY(ppoll, polled, -1, &none, NULL, 0);
    int epoll = (int)TRY(epoll_create, 1);
    TRY(epoll_create, 0);
    TRY(epoll_create1, 8);
    struct {
        uint32_t events;
        uint64_t data;
    } __attribute__((packed)) interest = {POLLIN, 7}, got[2];
    TRY(epoll_ctl, epoll, 1, event, &interest);
    TRY(epoll_ctl, epoll, 1, event, &interest);
    TRY(epoll_ctl, epoll, 1, epoll, &interest);
    TRY(epoll_ctl, epoll, 3, 99, &interest);
    TRY(epoll_ctl, epoll, 9, event, &interest);
    TRY(epoll_ctl, epoll, 3, event, WILD);
    TRY(epoll_wait, epoll, got, 0, 0);
    TRY(epoll_wait, epoll, WILD, 2, 0);
    TRY(epoll_pwait, epoll, got, 2, 0, &set, 8);
    TRY(epoll_pwait, epoll, got, 2, 0, &set, 7);
    TRY(epoll_pwait2, epoll, got, 2, &none, NULL, 0);
    TRY(epoll_pwait2, epoll, got, 2, &odd, NULL, 0);
    TRY(epoll_pwait2, epoll, got, 2, WILD, NULL, 0);
    TRY(epoll_pwait2, event, got, 2, &none, NULL, 0);
    OKAY(close(epoll));
    OKAY(close(event));
}

int main(void)
{
    make_file("plain", "");
    descriptors();
    signals();
    groups();
    waiting();
    selecting();
    OKAY(unlink("plain"));
    return ok("rows_processes");
}
