/* vfork: the parent waits for exec or exit and shares its memory with the child meanwhile. */
#include "guest.h"

int main(void)
{
    static volatile int shared;
    char *arguments[] = {"sh", "-c", "exit 7", NULL};
    for (volatile int i = 0; i < 20; i++) {
        pid_t child = vfork();
        if (child == 0) {
            shared = i + 1;
            _exit(i);
        }
        EQUAL(shared, i + 1);
        EXITS(child, i);

        child = vfork();
        if (child == 0) {
            shared = -i;
            execv("/bin/sh", arguments);
            _exit(98);
        }
        EQUAL(shared, -i);
        EXITS(child, 7);
    }

    /* exec that fails leaves the child as it was; the parent learns through the shared memory. */
    volatile int why = 0;
    pid_t child = vfork();
    if (child == 0) {
        execv("./nothing", arguments);
        why = errno;
        _exit(1);
    }
    EQUAL(why, ENOENT);
    EXITS(child, 1);

    /* The child's descriptors are its own. */
    int ends[2];
    OKAY(pipe(ends));
    child = vfork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execv("/bin/sh", (char *[]){"sh", "-c", "echo through", NULL});
        _exit(98);
    }
    OKAY(close(ends[1]));
    char text[32];
    EQUAL(read_all(ends[0], text, sizeof text), 8);
    CHECK(memcmp(text, "through\n", 8) == 0);
    EXITS(child, 0);

    /* A child that dies releases its parent too. */
    child = vfork();
    if (child == 0) {
        kill(getpid(), SIGKILL);
        _exit(98);
    }
    DIES(child, SIGKILL);
    return ok("vfork_exec");
}
