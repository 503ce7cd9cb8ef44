/*
 * A static program: no loader, no mapping of libc. Threads, fork, exec of itself.
 * gcc: -static
 */
#include "guest.h"

static void *double_it(void *number) { return (void *)((long)number * 2); }

int main(int count, char **arguments)
{
    (void)arguments;
    if (count > 1)
        return 5;
    pthread_t threads[10];
    for (long i = 0; i < 10; i++)
        ZERO(pthread_create(&threads[i], NULL, double_it, (void *)i));
    for (long i = 0; i < 10; i++) {
        void *result;
        ZERO(pthread_join(threads[i], &result));
        EQUAL(result, 2 * i);
    }
    pid_t child = CHILD(OKAY(execl("/proc/self/exe", "static_libc", "again", NULL)));
    EXITS(child, 5);
    make_file("file", "x");
    return ok("static_libc");
}
