/* kill(0), killpg and kill(-pgrp) reach all of a group and nobody else. */
#include "guest.h"

static volatile int count;
static void handler(int signal)
{
    (void)signal;
    count++;
}

int main(void)
{
    int up[2];
    OKAY(pipe(up));
    signal(SIGUSR1, handler);
    pid_t leader = CHILD({
        OKAY(setpgid(0, 0));
        for (int i = 0; i < 5; i++)
            (void)CHILD({
                tell(up[1]);
                for (;;)
                    pause();
            });
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        OKAY(sigprocmask(SIG_BLOCK, &blocked, NULL));
        signal(SIGTERM, handler);
        tell(up[1]);
        FAILS(sigsuspend(&none), EINTR);
        /* All five die by the signal that we caught. */
        for (int i = 0; i < 5; i++) {
            int status;
            pid_t got;
            do
                got = wait(&status);
            while (got == -1 && errno == EINTR);
            CHECK(got > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        }
        _exit(10 + count);
    });
    (void)setpgid(leader, leader);
    for (int i = 0; i < 6; i++)
        await(up[0]);
    OKAY(killpg(leader, 0));
    OKAY(kill(-leader, SIGTERM));
    EXITS(leader, 11);
    FAILS(killpg(leader, 0), ESRCH);

    /* kill(0) from within a group of one's own. */
    leader = CHILD({
        OKAY(setpgid(0, 0));
        signal(SIGTERM, SIG_IGN);
        pid_t members[3];
        for (int i = 0; i < 3; i++)
            members[i] = CHILD({
                signal(SIGTERM, SIG_DFL);
                tell(up[1]);
                for (;;)
                    pause();
            });
        for (int i = 0; i < 3; i++)
            await(up[0]);
        OKAY(kill(0, SIGTERM));
        for (int i = 0; i < 3; i++)
            DIES(members[i], SIGTERM);
        _exit(20);
    });
    EXITS(leader, 20);

    /* And all of it, oneself included. */
    leader = CHILD({
        OKAY(setpgid(0, 0));
        kill(0, SIGKILL);
        for (;;)
            pause();
    });
    DIES(leader, SIGKILL);
    EQUAL(count, 0);
    FAILS(killpg(-5, SIGTERM), EINVAL);
    return ok("signal_group");
}
