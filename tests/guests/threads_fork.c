/* fork, posix_spawn and wait from several threads at once; pthread_atfork; 300 short threads. */
#include "guest.h"
#include <spawn.h>

extern char **environ;
static int before, in_parent, in_child;

static void count_before(void) { __atomic_add_fetch(&before, 1, __ATOMIC_SEQ_CST); }
static void count_parent(void) { __atomic_add_fetch(&in_parent, 1, __ATOMIC_SEQ_CST); }
static void count_child(void) { in_child++; }

static void *fork_here(void *argument)
{
    int me = (int)(long)argument;
    for (int i = 0; i < 10; i++) {
        pid_t child = CHILD({
            EQUAL(syscall(SYS_gettid), getpid());
            EQUAL(in_child, 1);
            _exit(me + i);
        });
        EXITS(child, me + i);
    }
    return NULL;
}

static void *spawn_here(void *argument)
{
    for (int i = 0; i < 5; i++) {
        pid_t child;
        ZERO(posix_spawn(&child, "/bin/sh", NULL, NULL, (char *[]){"sh", "-c", "exit 3", NULL}, environ));
        EXITS(child, 3);
    }
    return argument;
}

static void *nothing_much(void *argument) { return argument; }

int main(void)
{
    pthread_t threads[8];
    ZERO(pthread_atfork(count_before, count_parent, count_child));
    for (long i = 0; i < 8; i++)
        ZERO(pthread_create(&threads[i], NULL, i % 2 ? fork_here : spawn_here, (void *)(i * 10)));
    for (int i = 0; i < 8; i++)
        ZERO(pthread_join(threads[i], NULL));
    EQUAL(before, 40);
    EQUAL(in_parent, 40);
    EQUAL(in_child, 0);

    /* A child of a thread that has ended is still the process's. */
    for (long i = 0; i < 300; i++) {
        void *result;
        ZERO(pthread_create(&threads[0], NULL, nothing_much, (void *)i));
        ZERO(pthread_join(threads[0], &result));
        EQUAL(result, i);
    }
    FAILS(wait(NULL), ECHILD);
    return ok("threads_fork");
}
