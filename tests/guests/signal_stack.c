/* A program that spends its life in signal handlers on signal stacks, of several threads, with calls there. */
#include "guest.h"

#define THREADS 4
#define ROUNDS 60

static volatile sig_atomic_t handled[THREADS];
static _Thread_local int me;

static void on_stack(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    stack_t now, other = {.ss_flags = SS_DISABLE};
    OKAY(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    FAILS(sigaltstack(&other, NULL), EPERM);
    CHECK((char *)&now > (char *)now.ss_sp && (char *)&now < (char *)now.ss_sp + now.ss_size);
    pause_ms(3);
    OKAY(access(".", F_OK));
    OKAY(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
    handled[me]++;
}

static void *work(void *arg)
{
    me = (int)(long)arg;
    stack_t own = {.ss_sp = malloc(65536), .ss_size = 65536};
    OKAY(sigaltstack(&own, NULL));
    for (int i = 0; i < ROUNDS; i++)
        ZERO(pthread_kill(pthread_self(), SIGUSR1));
    EQUAL(handled[me], ROUNDS);
    stack_t now;
    OKAY(sigaltstack(NULL, &now));
    EQUAL(now.ss_flags, 0);
    CHECK(now.ss_sp == own.ss_sp && now.ss_size == own.ss_size);
    own.ss_flags = SS_DISABLE;
    OKAY(sigaltstack(&own, NULL));
    free(now.ss_sp);
    return NULL;
}

int main(void)
{
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    pthread_t threads[THREADS];
    for (long i = 1; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, work, (void *)i));
    work(0);
    for (int i = 1; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));
    return ok("signal_stack");
}
