/* An orphan is reparented: to a subreaper if there is one, which can then wait for it. */
#include "guest.h"
#include <sys/prctl.h>

int main(void)
{
    int hold[2], say[2];
    OKAY(pipe(hold));
    OKAY(pipe(say));
    OKAY(prctl(PR_SET_CHILD_SUBREAPER, 1));
    int is_reaper = 0;
    OKAY(prctl(PR_GET_CHILD_SUBREAPER, &is_reaper));
    EQUAL(is_reaper, 1);

    pid_t self = getpid();
    pid_t middle = CHILD({
        pid_t mine = getpid();
        int born[2];
        OKAY(pipe(born));
        pid_t orphan = CHILD({
            EQUAL(getppid(), mine);
            tell(born[1]);
            await(hold[0]);
            EQUAL(getppid(), self);
            _exit(12);
        });
        await(born[0]);
        write_all(say[1], &orphan, sizeof orphan);
    });
    EXITS(middle, 0);
    pid_t orphan;
    EQUAL(read_all(say[0], &orphan, sizeof orphan), sizeof orphan);
    tell(hold[1]);
    EXITS(orphan, 12);

    /* The death of a parent can be told by a signal. */
    middle = CHILD({
        pid_t child = CHILD({
            OKAY(prctl(PR_SET_PDEATHSIG, SIGKILL));
            pid_t me = getpid();
            write_all(say[1], &me, sizeof me);
            for (;;)
                pause();
        });
        EQUAL(read_all(say[0], &orphan, sizeof orphan), sizeof orphan);
        EQUAL(orphan, child);
        write_all(say[1], &orphan, sizeof orphan);
    });
    EXITS(middle, 0);
    EQUAL(read_all(say[0], &orphan, sizeof orphan), sizeof orphan);
    DIES(orphan, SIGKILL);
    FAILS(wait(NULL), ECHILD);
    return ok("orphans");
}
