/* prctl and personality: every option that Linux knows, without and with an argument, in a child each. */
#include "shown.h"
#include <sys/prctl.h>

#define OPTION(name, code) {#name, code}

static const struct {
    const char *name;
    int code;
} asked[] = {
    OPTION(PR_GET_PDEATHSIG, 2), OPTION(PR_GET_DUMPABLE, 3), OPTION(PR_GET_UNALIGN, 5),
    OPTION(PR_GET_KEEPCAPS, 7), OPTION(PR_GET_FPEMU, 9), OPTION(PR_GET_FPEXC, 11), OPTION(PR_GET_TIMING, 13),
    OPTION(PR_GET_NAME, 16), OPTION(PR_GET_ENDIAN, 19), OPTION(PR_CAPBSET_READ, 23), OPTION(PR_GET_TSC, 25),
    OPTION(PR_GET_SECUREBITS, 27), OPTION(PR_GET_TIMERSLACK, 30), OPTION(PR_MCE_KILL_GET, 34),
    OPTION(PR_GET_CHILD_SUBREAPER, 37), OPTION(PR_GET_THP_DISABLE, 42), OPTION(PR_MPX_ENABLE_MANAGEMENT, 43),
    OPTION(PR_MPX_DISABLE_MANAGEMENT, 44), OPTION(PR_GET_FP_MODE, 46), OPTION(PR_SVE_GET_VL, 51),
    OPTION(PR_GET_SPECULATION_CTRL, 52), OPTION(PR_GET_TAGGED_ADDR_CTRL, 56), OPTION(PR_GET_IO_FLUSHER, 58),
    OPTION(PR_PAC_GET_ENABLED_KEYS, 61), OPTION(PR_SME_GET_VL, 64), OPTION(PR_GET_MDWE, 66),
    OPTION(PR_GET_MEMORY_MERGE, 68), OPTION(PR_RISCV_V_GET_CONTROL, 70), OPTION(PR_PPC_GET_DEXCR, 72),
    OPTION(PR_GET_SHADOW_STACK_STATUS, 74), OPTION(unknown, 79), OPTION(beyond, 100000),
};

static const struct {
    const char *name;
    int code;
} set[] = {
    OPTION(PR_SET_PDEATHSIG, 1), OPTION(PR_SET_DUMPABLE, 4), OPTION(PR_SET_UNALIGN, 6),
    OPTION(PR_SET_KEEPCAPS, 8), OPTION(PR_SET_FPEMU, 10), OPTION(PR_SET_FPEXC, 12), OPTION(PR_SET_TIMING, 14),
    OPTION(PR_SET_ENDIAN, 20), OPTION(PR_CAPBSET_DROP, 24), OPTION(PR_SET_TSC, 26),
    OPTION(PR_SET_SECUREBITS, 28), OPTION(PR_SET_TIMERSLACK, 29), OPTION(PR_TASK_PERF_EVENTS_DISABLE, 31),
    OPTION(PR_TASK_PERF_EVENTS_ENABLE, 32), OPTION(PR_MCE_KILL, 33), OPTION(PR_SET_CHILD_SUBREAPER, 36),
    OPTION(PR_SET_NO_NEW_PRIVS, 38), OPTION(PR_SET_THP_DISABLE, 41), OPTION(PR_SET_FP_MODE, 45),
    OPTION(PR_CAP_AMBIENT, 47), OPTION(PR_SVE_SET_VL, 50), OPTION(PR_SET_SPECULATION_CTRL, 53),
    OPTION(PR_PAC_RESET_KEYS, 54), OPTION(PR_SET_TAGGED_ADDR_CTRL, 55), OPTION(PR_SET_IO_FLUSHER, 57),
    OPTION(PR_PAC_SET_ENABLED_KEYS, 60), OPTION(PR_SME_SET_VL, 63), OPTION(PR_SET_MDWE, 65),
    OPTION(PR_SET_MEMORY_MERGE, 67), OPTION(PR_RISCV_V_SET_CONTROL, 69),
    OPTION(PR_RISCV_SET_ICACHE_FLUSH_CTX, 71), OPTION(PR_PPC_SET_DEXCR, 73),
    OPTION(PR_SET_SHADOW_STACK_STATUS, 75), OPTION(PR_LOCK_SHADOW_STACK_STATUS, 76),
    OPTION(PR_TIMER_CREATE_RESTORE_IDS, 77), OPTION(PR_SET_PTRACER, 0x59616d61),
};

static void ask(const char *name, long code)
{
    char out[64] = {0};
    printf("%s: ", name);
    TRY(prctl, code, out, 0, 0, 0);
    show_bytes("out", out, sizeof out);
    printf("%s: ", name);
    TRY(prctl, code, WILD, 0, 0, 0);
    printf("%s: ", name);
    TRY(prctl, code, 0, 0, 0, 0);
    printf("%s: ", name);
    TRY(prctl, code, 0, 1, 1, 1);
}

static void give(const char *name, long code)
{
    for (long value = 0; value <= 3; value++)
        APART({
            printf("%s: ", name);
            TRY(prctl, code, value, 0, 0, 0);
            // What can be asked for it mostly has the number before or behind.
            char out[64] = {0};
            printf("%s: ", name);
            TRY(prctl, code - 1, out, 0, 0, 0);
            // PR_GET_TID_ADDRESS
            if (code - 1 != 40)
                show_bytes("out", out, sizeof out);
            printf("%s: ", name);
            TRY(prctl, code + 1, out, 0, 0, 0);
        });
    APART({
        printf("%s: ", name);
        TRY(prctl, code, -1L, 0, 0, 0);
        printf("%s: ", name);
        TRY(prctl, code, 1, 1, 1, 1);
    });
}

static void names(void)
{
    char name[16] = {0};
    TRY(prctl, PR_SET_NAME, "given by a call that is long");
    TRY(prctl, PR_GET_NAME, name);
    SAME_TEXT(name, "given by a call");
    TRY(prctl, PR_SET_NAME, WILD);
    TRY(prctl, PR_GET_NAME, WILD);
    SHOW(strcmp(file_text("/proc/self/comm"), "given by a call\n"));
}

static void capabilities(void)
{
    TRY(prctl, PR_CAPBSET_READ, 0);
    TRY(prctl, PR_CAPBSET_READ, 100);
    APART({
        TRY(prctl, PR_CAPBSET_DROP, 3);
        TRY(prctl, PR_CAPBSET_READ, 3);
        TRY(prctl, PR_CAPBSET_DROP, 100);
    });
    APART({
        for (int operation = 0; operation < 6; operation++) {
            printf("%d: ", operation);
            TRY(prctl, PR_CAP_AMBIENT, operation, 0, 0, 0);
        }
        TRY(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 100, 0, 0);
    });
    APART({
        TRY(prctl, PR_SET_SECUREBITS, 1 << 0);
        TRY(prctl, PR_GET_SECUREBITS);
        TRY(prctl, PR_SET_SECUREBITS, 0x100000);
    });
}

static void filtered(void)
{
    TRY(prctl, PR_GET_SECCOMP, 0, 0, 0, 0);
    TRY(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static void deaths(void)
{
    int pipe_[2];
    OKAY(pipe(pipe_));
    // A grandchild is told that the child has ended.
    pid_t child = CHILD({
        if (OKAY(fork()) == 0) {
            int signal;
            sigset_t set_;
            sigemptyset(&set_);
            sigaddset(&set_, SIGUSR1);
            OKAY(sigprocmask(SIG_BLOCK, &set_, NULL));
            OKAY(prctl(PR_SET_PDEATHSIG, SIGUSR1));
            tell(pipe_[1]);
            ZERO(sigwait(&set_, &signal));
            write_all(pipe_[1], "told", 4);
            _exit(0);
        }
        pause_ms(1);
        char byte;
        EQUAL(read(pipe_[0], &byte, 1), 1);
    });
    EXITS(child, 0);
    char text[5] = {0};
    EQUAL(read_all(pipe_[0], text, 4), 4);
    SAME_TEXT(text, "told");
}

static void reapers(void)
{
    // The orphan is the child's, which asked for it.
    pid_t child = CHILD({
        OKAY(prctl(PR_SET_CHILD_SUBREAPER, 1));
        pid_t middle = (pid_t)OKAY(fork());
        if (middle == 0) {
            if (OKAY(fork()) == 0) {
                pause_ms(20);
                _exit(7);
            }
            _exit(0);
        }
        int status;
        EQUAL(waitpid(middle, &status, 0), middle);
        CHECK(waitpid(-1, &status, 0) > 0);
        _exit(WEXITSTATUS(status));
    });
    EXITS(child, 7);
}

static void personalities(void)
{
    TRY(personality, -1);
    APART({
        TRY(personality, 0x0040000 /* ADDR_NO_RANDOMIZE */);
        TRY(personality, -1);
        TRY(personality, 0x0400000 /* READ_IMPLIES_EXEC */ | 0x0100000 /* MMAP_PAGE_ZERO */);
        // Inherited, and kept by what is executed.
        fflush(stdout);
        execl("/bin/cat", "cat", "/proc/self/personality", NULL);
    });
    APART({
        struct { char sysname[65], nodename[65], release[65], version[65], machine[65], domain[65]; } names_;
        TRY(personality, 0x0008 /* PER_LINUX32 */);
        OKAY(RAW(uname, &names_));
        printf("  %s\n", names_.machine);
        TRY(personality, 0x0020000 /* UNAME26 */);
        OKAY(RAW(uname, &names_));
        printf("  %.4s\n", names_.release);
    });
}

int main(void)
{
    for (size_t at = 0; at < sizeof asked / sizeof *asked; at++)
        ask(asked[at].name, asked[at].code);
    for (size_t at = 0; at < sizeof set / sizeof *set; at++)
        give(set[at].name, set[at].code);
    names();
    capabilities();
    filtered();
    deaths();
    reapers();
    personalities();
    return ok("rows_prctl");
}
