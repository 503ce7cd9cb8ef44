/* What a program is started with: signals, umask, limits, priority, group, environment, descriptors. */
#include "guest.h"
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

/* The harness compares what this prints with a native start. */
int main(int count, char **arguments)
{
    printf("arguments %d, the first %s\n", count, strrchr(arguments[0], '/'));
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("signal %d is ignored: %d\n", signal, action.sa_handler == SIG_IGN);
    }
    sigset_t blocked, pending;
    OKAY(sigprocmask(SIG_BLOCK, NULL, &blocked));
    OKAY(sigpending(&pending));
    for (int signal = 1; signal <= SIGRTMAX; signal++)
        if (sigismember(&blocked, signal) == 1 || sigismember(&pending, signal) == 1)
            printf("signal %d is blocked or pending\n", signal);
    printf("umask %03o\n", umask(022));
    for (int what = 0; what < RLIMIT_NLIMITS; what++) {
        struct rlimit limit;
        OKAY(getrlimit((enum __rlimit_resource)what, &limit));
        printf("limit %d: %llu %llu\n", what, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
    printf("priority %d, scheduler %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
    printf("leads its group %d, its session %d\n", getpgrp() == getpid(), getsid(0) == getpid());
    printf("user %d %d, group %d %d, %d more\n", getuid(), geteuid(), getgid(), getegid(), getgroups(0, NULL));
    int value = -1;
    OKAY(prctl(PR_GET_CHILD_SUBREAPER, &value));
    printf("subreaper %d", value);
    OKAY(prctl(PR_GET_PDEATHSIG, &value));
    printf(", signal at parent's death %d, dumpable %d, timer slack %d, capabilities kept %d\n", value,
           prctl(PR_GET_DUMPABLE), prctl(PR_GET_TIMERSLACK), prctl(PR_GET_KEEPCAPS));
    for (char **variable = environ; *variable != NULL; variable++)
        printf("environment %s\n", *variable);
    for (int fd = 0; fd < 1024; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            printf("descriptor %d: mode %o, flags %o %o\n", fd, st.st_mode, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    }
    FAILS(wait(NULL), ECHILD);
    return ok("inherited");
}
