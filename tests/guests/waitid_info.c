/* waitid: every kind of event with its siginfo; WNOWAIT; stop and continue; pidfds. */
#include "guest.h"
#include <sys/resource.h>

static siginfo_t wait_event(idtype_t type, pid_t id, int options, pid_t child)
{
    siginfo_t info;
    memset(&info, 0x55, sizeof info);
    OKAY(waitid(type, (id_t)id, &info, options));
    EQUAL(info.si_signo, SIGCHLD);
    EQUAL(info.si_pid, child);
    EQUAL(info.si_uid, getuid());
    EQUAL(info.si_errno, 0);
    return info;
}

int main(void)
{
    siginfo_t info;
    FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    FAILS(waitid(P_ALL, 0, &info, 0), EINVAL);

    pid_t child = CHILD(_exit(11));
    info = wait_event(P_ALL, 0, WEXITED | WNOWAIT, child);
    EQUAL(info.si_code, CLD_EXITED);
    EQUAL(info.si_status, 11);
    info = wait_event(P_PID, child, WEXITED, child);
    EQUAL(info.si_status, 11);
    FAILS(waitid(P_PID, (id_t)child, &info, WEXITED), ECHILD);

    OKAY(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    child = CHILD(pause());
    memset(&info, 0x55, sizeof info);
    OKAY(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG));
    EQUAL(info.si_pid, 0);
    EQUAL(info.si_signo, 0);
    OKAY(kill(child, SIGSTOP));
    info = wait_event(P_PID, child, WSTOPPED, child);
    EQUAL(info.si_code, CLD_STOPPED);
    EQUAL(info.si_status, SIGSTOP);
    await_state(child, 'T');
    OKAY(kill(child, SIGCONT));
    info = wait_event(P_PID, child, WCONTINUED, child);
    EQUAL(info.si_code, CLD_CONTINUED);
    EQUAL(info.si_status, SIGCONT);
    OKAY(kill(child, SIGTSTP));
    int status;
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    OKAY(kill(child, SIGTERM));
    OKAY(kill(child, SIGCONT));
    info = wait_event(P_PGID, getpgrp(), WEXITED, child);
    EQUAL(info.si_code, CLD_KILLED);
    EQUAL(info.si_status, SIGTERM);

    child = CHILD(pause());
    int pidfd = (int)OKAY(syscall(SYS_pidfd_open, child, 0));
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    EQUAL(OKAY(poll(&ready, 1, 0)), 0);
    OKAY(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
    EQUAL(OKAY(poll(&ready, 1, -1)), 1);
    info = wait_event((idtype_t)3 /* P_PIDFD */, pidfd, WEXITED, child);
    EQUAL(info.si_code, CLD_KILLED);
    EQUAL(info.si_status, SIGKILL);
    FAILS(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
    return ok("waitid_info");
}
