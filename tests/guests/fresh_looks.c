/* What is looked at after somebody has said that it changed is as it is then: said by memory, by a pipe, by a
 * signal; and what the program has changed itself. The looks come in the same order again and again. */
#include "guest.h"
#include <stdatomic.h>

#define ROUNDS 150

static atomic_int asked, changed;
static int ask[2], answer[2];
static volatile sig_atomic_t signals;

static void handler(int signal)
{
    (void)signal;
    signals++;
}

static bool is_there(const char *path)
{
    struct stat got;
    if (stat(path, &got) == 0)
        return true;
    EQUAL(errno, ENOENT);
    return false;
}

static void change(int round)
{
    if (round % 2 == 0)
        OKAY(close((int)OKAY(open("changing", O_CREAT | O_EXCL | O_WRONLY, 0600))));
    else
        OKAY(unlink("changing"));
}

static void *change_by_thread(void *unused)
{
    for (int round = 0; round < ROUNDS; round++) {
        while (atomic_load(&asked) <= round)
            sched_yield();
        change(round);
        atomic_store(&changed, round + 1);
    }
    return unused;
}

static void by_thread(int round)
{
    atomic_store(&asked, round + 1);
    while (atomic_load(&changed) <= round)
        sched_yield();
}

static void by_pipe(int round)
{
    (void)round;
    OKAY(write(ask[1], "x", 1));
    EQUAL(OKAY(read(answer[0], &(char){0}, 1)), 1);
}

static void by_signal(int round)
{
    OKAY(write(ask[1], "x", 1));
    /* The second look: nothing is asked of home from here on. */
    CHECK(is_there("steady"));
    while (signals <= round)
        ;
}

/* Looks, and looks again when it has changed. */
static void look(const char *by, void (*tell)(int))
{
    for (int round = 0; round < ROUNDS; round++) {
        char target[64] = "";
        CHECK(is_there("steady"));
        EQUAL(readlink("link", target, sizeof target), 6);
        tell(round);
        if (is_there("changing") != (round % 2 == 0))
            guest_failed(__FILE_NAME__, __LINE__, "round %d, changed by %s: not seen (%d signals)", round, by, (int)signals);
        EQUAL(access("changing", F_OK), round % 2 == 0 ? 0 : -1);
    }
}

int main(void)
{
    OKAY(close((int)OKAY(open("steady", O_CREAT | O_WRONLY, 0600))));
    OKAY(symlink("steady", "link"));
    look("itself", change);

    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, change_by_thread, NULL));
    look("a thread", by_thread);
    ZERO(pthread_join(thread, NULL));

    signal(SIGUSR1, handler);
    for (int way = 0; way < 2; way++) {
        OKAY(pipe(ask));
        OKAY(pipe(answer));
        pid_t child = CHILD({
            OKAY(close(ask[1]));
            for (int round = 0; round < ROUNDS; round++) {
                EQUAL(OKAY(read(ask[0], &(char){0}, 1)), 1);
                if (way == 1)
                    nanosleep(&(struct timespec){0, 1000 * (round % 5) * 50}, NULL);
                change(round);
                if (way == 0)
                    OKAY(write(answer[1], "x", 1));
                else
                    OKAY(kill(getppid(), SIGUSR1));
            }
        });
        if (way == 0)
            look("a child", by_pipe);
        else
            look("who sends a signal", by_signal);
        EXITS(child, 0);
    }
    OKAY(unlink("steady"));
    OKAY(unlink("link"));
    return ok("fresh_looks");
}
