/* A debugger: a parent that traces its child, step by step and call by call. */
#include "guest.h"
#include <sys/ptrace.h>
#include <sys/user.h>

int main(void)
{
    int status;
    pid_t child = CHILD({
        OKAY(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
        raise(SIGSTOP);
        (void)syscall(SYS_getppid);
        _exit(6);
    });
    EQUAL(OKAY(waitpid(child, &status, 0)), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    OKAY(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD));
    bool seen = false;
    for (;;) {
        OKAY(ptrace(PTRACE_SYSCALL, child, NULL, NULL));
        EQUAL(OKAY(waitpid(child, &status, 0)), child);
        if (WIFEXITED(status))
            break;
        struct user_regs_struct registers;
        OKAY(ptrace(PTRACE_GETREGS, child, NULL, &registers));
        seen |= registers.orig_rax == SYS_getppid;
    }
    CHECK(seen);
    EQUAL(WEXITSTATUS(status), 6);
    return ok("tracing");
}
