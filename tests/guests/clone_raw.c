/* clone and clone3 used directly: pidfd, tid pointers, exit signals, shared memory, files and cwd. */
#include "guest.h"
#include <linux/sched.h>

static long clone3(struct clone_args *args) { return syscall(SYS_clone3, args, sizeof *args); }

static int in_clone(void *data)
{
    *(volatile int *)data += 1;
    return 17;
}

static volatile sig_atomic_t user_signals;
static void on_user(int signal, siginfo_t *info, void *context)
{
    (void)context;
    user_signals++;
    EQUAL(signal, SIGUSR1);
    EQUAL(info->si_code, CLD_EXITED);
    EQUAL(info->si_status, 3);
}

int main(void)
{
    int status, pidfd = -1;
    pid_t parent_tid = -1;
    static pid_t child_tid;

    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t child = (pid_t)OKAY(clone3(&args));
    if (child == 0)
        _exit(4);
    EXITS(child, 4);

    args = (struct clone_args){
        .flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .parent_tid = (uint64_t)(uintptr_t)&parent_tid,
        .child_tid = (uint64_t)(uintptr_t)&child_tid,
        .exit_signal = SIGCHLD,
    };
    child = (pid_t)OKAY(clone3(&args));
    if (child == 0)
        _exit(child_tid == getpid() ? 5 : 6);
    EQUAL(parent_tid, child);
    EQUAL(child_tid, 0);
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    EQUAL(OKAY(poll(&ready, 1, -1)), 1);
    EQUAL(OKAY(fcntl(pidfd, F_GETFD)), FD_CLOEXEC);
    EXITS(child, 5);

    /* Another exit signal: only __WALL or __WCLONE finds such a child. */
    handle(SIGUSR1, on_user, SA_RESTART);
    args = (struct clone_args){.exit_signal = SIGUSR1};
    child = (pid_t)OKAY(clone3(&args));
    if (child == 0)
        _exit(3);
    FAILS(waitpid(child, &status, 0), ECHILD);
    EQUAL(OKAY(waitpid(child, &status, __WCLONE)), child);
    EQUAL(WEXITSTATUS(status), 3);
    EQUAL(user_signals, 1);
    args = (struct clone_args){.exit_signal = 0};
    child = (pid_t)OKAY(clone3(&args));
    if (child == 0)
        _exit(3);
    EQUAL(OKAY(waitpid(child, &status, __WALL)), child);

    /* A process that shares memory, with a stack of its own. */
    static volatile int shared;
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 10; i++) {
        child = (pid_t)OKAY(clone(in_clone, stack + 65536, CLONE_VM | SIGCHLD, (void *)&shared));
        EXITS(child, 17);
        EQUAL(shared, i + 1);
    }
    child = (pid_t)OKAY(clone(in_clone, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&shared));
    EQUAL(shared, 11);
    EXITS(child, 17);

    FAILS(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    FAILS(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    args = (struct clone_args){.exit_signal = 1000};
    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){.flags = CLONE_VM, .stack = 4096};
    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){.flags = 1ull << 60};
    FAILS(clone3(&args), EINVAL);
    return ok("clone_raw");
}
