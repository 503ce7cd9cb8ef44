/* Handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP; sigaltstack; siglongjmp; changing registers. */
#include "guest.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile siginfo_t got;
static char *alternate;
static volatile bool on_alternate;

static void jump(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)signal, (void)context;
    got = *info;
    on_alternate = &here >= alternate && &here < alternate + 65536;
    siglongjmp(back, 1);
}

static void skip(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    ucontext_t *user = context;
    user->uc_mcontext.gregs[REG_RIP] += 2;
    user->uc_mcontext.gregs[REG_RAX] = 4242;
}

static char *page;
static void allow(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    EQUAL(info->si_code, SEGV_ACCERR);
    CHECK(info->si_addr == page + 100);
    OKAY(mprotect(page, 4096, PROT_READ | PROT_WRITE));
}

__attribute__((noinline)) static int overflow(int depth)
{
    volatile char frame[16384];
    frame[0] = (char)depth;
    return depth == INT_MAX ? 0 : overflow(depth + 1) + frame[0];
}

#define FAULTS(expression, signal, code) \
    do { \
        if (sigsetjmp(back, 1) == 0) { \
            expression; \
            guest_failed(__FILE_NAME__, __LINE__, "no fault"); \
        } \
        EQUAL(got.si_signo, signal); \
        EQUAL(got.si_code, code); \
    } while (0)

int main(void)
{
    alternate = malloc(65536);
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536}, old;
    OKAY(sigaltstack(&stack, &old));
    EQUAL(old.ss_flags, SS_DISABLE);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        handle(faults[i], jump, SA_ONSTACK);

    for (int i = 0; i < 100; i++) {
        FAULTS(*(volatile int *)0x1230 = 1, SIGSEGV, SEGV_MAPERR);
        CHECK(got.si_addr == (void *)0x1230);
        CHECK(on_alternate);
    }
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAULTS(page[5] = 1, SIGSEGV, SEGV_ACCERR);
    CHECK(got.si_addr == page + 5);
    FAULTS(((void (*)(void))page)(), SIGSEGV, SEGV_ACCERR);
    FAULTS(*(volatile char *)0x8000000000000000 = 1, SIGSEGV, SI_KERNEL);
    volatile int zero = 0;
    FAULTS(zero = 100 / zero, SIGFPE, FPE_INTDIV);
    FAULTS(__asm__ volatile("ud2"), SIGILL, ILL_ILLOPN);
    FAULTS(__asm__ volatile("int3"), SIGTRAP, SI_KERNEL);
    FAULTS(overflow(0), SIGSEGV, SEGV_MAPERR);
    CHECK(on_alternate);

    /* Past the end of a mapped file. */
    make_file("file", "short");
    char *mapped = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, (int)OKAY(open("file", O_RDONLY)), 0);
    EQUAL(mapped[4095], 0);
    FAULTS((void)*(volatile char *)(mapped + 4096), SIGBUS, BUS_ADRERR);
    CHECK(got.si_addr == mapped + 4096);

    /* The handler mends the cause, or steps over it. */
    handle(SIGSEGV, allow, 0);
    page[100] = 'm';
    EQUAL(page[100], 'm');
    handle(SIGILL, skip, 0);
    long result = 1;
    __asm__ volatile("ud2" : "+a"(result));
    EQUAL(result, 4242);

    FAILS(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 100}, NULL), ENOMEM);
    stack.ss_flags = SS_DISABLE;
    OKAY(sigaltstack(&stack, NULL));
    return ok("signal_fault");
}
