/* Sixty-four processes at once, each with a thread and calls that wait for its neighbour. */
#include "guest.h"

#define PROCESSES 64

static int pipes[PROCESSES][2];

static void *twice(void *arg)
{
    *(int *)arg *= 2;
    CHECK(getppid() > 1);
    return NULL;
}

int main(void)
{
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        OKAY(pipe(pipes[i]));
    for (int i = 0; i < PROCESSES; i++)
        children[i] = CHILD({
            int number;
            EQUAL(read_all(pipes[i][0], &number, sizeof number), sizeof number);
            EQUAL(number, i);
            pthread_t thread;
            ZERO(pthread_create(&thread, NULL, twice, &number));
            ZERO(pthread_join(thread, NULL));
            EQUAL(number, 2 * i);
            number = i + 1;
            if (number < PROCESSES)
                write_all(pipes[number][1], &number, sizeof number);
            _exit(i);
        });
    int zero = 0;
    write_all(pipes[0][1], &zero, sizeof zero);
    for (int i = 0; i < PROCESSES; i++)
        EXITS(children[i], i);
    return ok("scale_guests");
}
