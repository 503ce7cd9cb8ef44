/*
 * A system call changes rax, rcx and r11 and nothing else: registers, vectors, flags, red zone, fs, gs.
 * gcc: -lm
 */
#include "guest.h"
#include <asm/prctl.h>
#include <fenv.h>

static long call_checked(long number, long a, long b, long c)
{
    long result, wrong;
    __asm__ volatile(
        "push %%rbx; push %%rbp\n"
        "movq $0x1111, %%rbx; movq $0x2222, %%rbp; movq $0x3333, %%r12; movq $0x4444, %%r13\n"
        "movq $0x5555, %%r14; movq $0x6666, %%r15; movq $0x7777, %%r8; movq $0x8888, %%r9; movq $0x9999, %%r10\n"
        "movq %%rsp, %%xmm0; movq %%rbx, %%xmm7; movq %%r12, %%xmm15\n"
        "movq $0x1234567, -8(%%rsp); movq $0x7654321, -120(%%rsp)\n"
        "stc\n"
        "syscall\n"
        "setnc %%cl\n"
        "movzbq %%cl, %%rcx\n"
        "movq %%xmm0, %%r11; subq %%rsp, %%r11; orq %%r11, %%rcx\n"
        "movq %%xmm7, %%r11; subq %%rbx, %%r11; orq %%r11, %%rcx\n"
        "movq %%xmm15, %%r11; subq %%r12, %%r11; orq %%r11, %%rcx\n"
        "subq $0x1234567, -8(%%rsp); orq -8(%%rsp), %%rcx\n"
        "subq $0x7654321, -120(%%rsp); orq -120(%%rsp), %%rcx\n"
        "subq $0x1111, %%rbx; orq %%rbx, %%rcx; subq $0x2222, %%rbp; orq %%rbp, %%rcx\n"
        "subq $0x3333, %%r12; orq %%r12, %%rcx; subq $0x4444, %%r13; orq %%r13, %%rcx\n"
        "subq $0x5555, %%r14; orq %%r14, %%rcx; subq $0x6666, %%r15; orq %%r15, %%rcx\n"
        "subq $0x7777, %%r8; orq %%r8, %%rcx; subq $0x8888, %%r9; orq %%r9, %%rcx\n"
        "subq $0x9999, %%r10; orq %%r10, %%rcx\n"
        "pop %%rbp; pop %%rbx\n"
        : "=a"(result), "=c"(wrong), "+D"(a), "+S"(b), "+d"(c)
        : "a"(number)
        : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7", "xmm15", "memory", "cc");
    EQUAL(wrong, 0);
    return result;
}

static volatile int handled;
static void handler(int signal)
{
    (void)signal;
    volatile double spoil = 1.0 / 3.0;
    spoil *= 7;
    fesetround(FE_UPWARD);
    handled++;
}

int main(void)
{
    int ends[2];
    char byte;
    OKAY(pipe(ends));
    for (int i = 0; i < 200; i++) {
        EQUAL(call_checked(SYS_getppid, 0, 0, 0), getppid());
        EQUAL(call_checked(SYS_getpid, 0, 0, 0), getpid());
        EQUAL(call_checked(SYS_write, ends[1], (long)"r", 1), 1);
        EQUAL(call_checked(SYS_read, ends[0], (long)&byte, 1), 1);
        EQUAL(call_checked(SYS_close, 999, 0, 0), -EBADF);
        EQUAL(call_checked(SYS_sched_yield, 0, 0, 0), 0);
        EQUAL(call_checked(9999, 0, 0, 0), -ENOSYS);
    }

    /* Rounding mode and vectors outlive calls, forks, handlers. */
    OKAY(fesetround(FE_DOWNWARD));
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    EQUAL(handled, 1);
    EQUAL(fegetround(), FE_DOWNWARD);
    pid_t child = CHILD(_exit(fegetround() == FE_DOWNWARD ? 0 : 1));
    EXITS(child, 0);
    OKAY(fesetround(FE_TONEAREST));

    unsigned long fs, gs;
    OKAY(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
    CHECK(fs == (unsigned long)pthread_self());
    static long area[8] = {0, 0x600d};
    OKAY(syscall(SYS_arch_prctl, ARCH_SET_GS, area));
    OKAY(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
    CHECK(gs == (unsigned long)area);
    (void)getppid();
    long by_gs;
    __asm__ volatile("movq %%gs:8, %0" : "=r"(by_gs));
    EQUAL(by_gs, 0x600d);
    child = CHILD({
        __asm__ volatile("movq %%gs:8, %0" : "=r"(by_gs));
        _exit(by_gs == 0x600d ? 0 : 1);
    });
    EXITS(child, 0);
    return ok("registers");
}
