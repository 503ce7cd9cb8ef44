/* SIGCHLD: SA_NOCLDWAIT, SIG_IGN, SA_NOCLDSTOP; a handler that reaps. */
#include "guest.h"

#define CHILDREN 50

static volatile int reaped, stops;

static void reap(int signal)
{
    int saved = errno;
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        reaped++;
    errno = saved;
}

static void count_stops(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    stops += info->si_code == CLD_STOPPED || info->si_code == CLD_CONTINUED;
}

int main(void)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t child = CHILD(_exit(1));
    FAILS(waitpid(child, NULL, 0), ECHILD);
    FAILS(kill(child, 0), ESRCH);
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    OKAY(sigaction(SIGCHLD, &action, NULL));
    child = CHILD(_exit(1));
    FAILS(wait(NULL), ECHILD);

    action = (struct sigaction){.sa_handler = reap, .sa_flags = SA_RESTART};
    OKAY(sigaction(SIGCHLD, &action, NULL));
    for (int i = 0; i < CHILDREN; i++)
        (void)CHILD(_exit(i));
    while (reaped < CHILDREN)
        pause_ms(1);
    EQUAL(reaped, CHILDREN);
    FAILS(wait(NULL), ECHILD);

    handle(SIGCHLD, count_stops, SA_NOCLDSTOP | SA_RESTART);
    child = CHILD(raise(SIGSTOP));
    int status;
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
    OKAY(kill(child, SIGCONT));
    EXITS(child, 0);
    EQUAL(stops, 0);
    return ok("signal_child");
}
