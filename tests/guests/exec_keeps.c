/*
 * What survives execve: pid, descriptors without O_CLOEXEC, ignored signals, mask, pending
 * signals, cwd, umask, limits, alarm. What does not: O_CLOEXEC, handlers, altstack, name.
 */
#include "guest.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static void handler(int signal) { (void)signal; }

static int after(char **arguments)
{
    struct sigaction action;
    struct rlimit limit;
    struct itimerval timer;
    sigset_t set;
    char here[PATH_MAX], name[16];
    EQUAL(getpid(), atoi(arguments[2]));
    EQUAL(getppid(), atoi(arguments[3]));
    int kept = atoi(arguments[4]), closed = atoi(arguments[5]);
    EQUAL(lseek(kept, 0, SEEK_CUR), 3);
    FAILS(fcntl(closed, F_GETFD), EBADF);
    FAILS(fcntl(closed + 100, F_GETFD), EBADF);
    OKAY(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    OKAY(sigaction(SIGUSR2, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    OKAY(sigprocmask(SIG_BLOCK, NULL, &set));
    CHECK(sigismember(&set, SIGHUP) && sigismember(&set, SIGRTMIN) && !sigismember(&set, SIGTERM));
    OKAY(sigpending(&set));
    CHECK(sigismember(&set, SIGHUP) && sigismember(&set, SIGRTMIN) && !sigismember(&set, SIGUSR1));
    CHECK(getcwd(here, sizeof here) != NULL);
    SAME_TEXT(strrchr(here, '/'), "/dir");
    EQUAL(umask(0), 031);
    OKAY(getrlimit(RLIMIT_NOFILE, &limit));
    EQUAL(limit.rlim_cur, 333);
    OKAY(getitimer(ITIMER_REAL, &timer));
    CHECK(timer.it_value.tv_sec > 500);
    EQUAL(getpgrp(), getpid());
    OKAY(prctl(PR_GET_NAME, name));
    SAME_TEXT(name, "exe");
    stack_t stack;
    OKAY(sigaltstack(NULL, &stack));
    EQUAL(stack.ss_flags, SS_DISABLE);
    EQUAL(getpriority(PRIO_PROCESS, 0), 5);
    /* The queued value came along. */
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    EQUAL(OKAY(sigwaitinfo(&set, &info)), SIGRTMIN);
    EQUAL(info.si_value.sival_int, 4711);
    return 33;
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "after") == 0)
        return after(arguments);

    OKAY(mkdir("dir", 0755));
    pid_t parent = getpid();
    pid_t child = CHILD({
        sigset_t set;
        char text[4][16];
        OKAY(setpgid(0, 0));
        int kept = (int)OKAY(open("kept", O_RDWR | O_CREAT, 0600));
        int closed = (int)OKAY(open("closed", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        write_all(kept, "abc", 3);
        OKAY(fcntl(kept, F_DUPFD_CLOEXEC, closed + 100));
        signal(SIGUSR1, handler);
        signal(SIGUSR2, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGRTMIN);
        OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
        OKAY(raise(SIGHUP));
        OKAY(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 4711}));
        OKAY(chdir("dir"));
        umask(031);
        OKAY(setrlimit(RLIMIT_NOFILE, &(struct rlimit){333, 333}));
        alarm(1000);
        OKAY(setpriority(PRIO_PROCESS, 0, 5));
        OKAY(prctl(PR_SET_NAME, "before"));
        OKAY(sigaltstack(&(stack_t){.ss_sp = malloc(65536), .ss_size = 65536}, NULL));
        snprintf(text[0], 16, "%d", getpid());
        snprintf(text[1], 16, "%d", parent);
        snprintf(text[2], 16, "%d", kept);
        snprintf(text[3], 16, "%d", closed);
        OKAY(execl("/proc/self/exe", "exec_keeps", "after", text[0], text[1], text[2], text[3], NULL));
    });
    EXITS(child, 33);
    return ok("exec_keeps");
}
