/* A program with a seccomp filter of its own. */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int main(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    OKAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    OKAY(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    FAILS(syscall(SYS_getppid), 77);
    pid_t child = CHILD(FAILS(syscall(SYS_getppid), 77));
    EXITS(child, 0);
    CHECK(getpid() > 0);
    make_file("file", "x");
    return ok("own_filter");
}
