/* Death by signal, stop and continue, abort, and what the parent sees of them. */
#include "guest.h"
#include <sys/resource.h>

static int hold[2];

int main(void)
{
    OKAY(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    OKAY(pipe(hold));
    static const int deadly[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE,
                                 SIGKILL, SIGUSR1,   SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT,
                                 SIGXCPU, SIGXFSZ,   SIGVTALRM, SIGPROF, SIGIO, SIGPWR,  SIGSYS};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) {
        /* By another while blocked in a call, while running, and by oneself. */
        pid_t child = CHILD({
            char byte;
            (void)!read(hold[0], &byte, 1);
        });
        await_state(child, 'S');
        OKAY(kill(child, deadly[i]));
        EQUAL(wait_for(child), deadly[i]);
        child = CHILD({
            for (;;)
                ;
        });
        OKAY(kill(child, deadly[i]));
        EQUAL(wait_for(child), deadly[i]);
        child = CHILD(raise(deadly[i]));
        EQUAL(wait_for(child), deadly[i]);
    }
    pid_t child = CHILD(raise(SIGRTMIN + 3));
    EQUAL(wait_for(child), SIGRTMIN + 3);
    child = CHILD(abort());
    DIES(child, SIGABRT);
    child = CHILD({
        signal(SIGABRT, SIG_IGN);
        abort();
    });
    DIES(child, SIGABRT);

    /* By fault. */
    child = CHILD(*(volatile int *)16 = 1);
    DIES(child, SIGSEGV);
    child = CHILD(__asm__ volatile("ud2"));
    DIES(child, SIGILL);
    child = CHILD({
        volatile int zero = 0;
        zero = 100 / zero;
    });
    DIES(child, SIGFPE);
    child = CHILD(__asm__ volatile("int3"));
    DIES(child, SIGTRAP);
    child = CHILD(__asm__ volatile("hlt"));
    DIES(child, SIGSEGV);
    /* A fault whose signal is blocked or ignored kills nevertheless. */
    child = CHILD({
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)16 = 1;
    });
    DIES(child, SIGSEGV);

    /* Ignored by default. */
    child = CHILD({
        raise(SIGCHLD);
        raise(SIGURG);
        raise(SIGWINCH);
        raise(SIGCONT);
        _exit(9);
    });
    EXITS(child, 9);

    /* Stop and continue, several times; SIGKILL works on the stopped. */
    child = CHILD({
        char byte;
        EQUAL(OKAY(read(hold[0], &byte, 1)), 1);
        raise(SIGSTOP);
        for (;;)
            pause();
    });
    for (int i = 0; i < 5; i++) {
        int status;
        OKAY(kill(child, SIGSTOP));
        EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        OKAY(kill(child, SIGCONT));
        EQUAL(OKAY(waitpid(child, &status, WCONTINUED)), child);
        CHECK(WIFCONTINUED(status));
    }
    tell(hold[1]);
    int status;
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
    CHECK(WIFSTOPPED(status));
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED | WNOHANG)), 0);
    OKAY(kill(child, SIGKILL));
    EQUAL(wait_for(child), SIGKILL);

    FAILS(kill(getpid(), 65), EINVAL);
    FAILS(kill(getpid(), -1), EINVAL);
    FAILS(kill(0x7ffffffe, 0), ESRCH);
    OKAY(kill(getpid(), 0));
    return ok("signal_default");
}
