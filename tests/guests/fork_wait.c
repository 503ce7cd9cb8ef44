/* fork, exit codes, wait4 and its options, rusage, ECHILD. */
#include "guest.h"
#include <sys/resource.h>

int main(void)
{
    int status;
    struct rusage usage;
    pid_t self = getpid();
    FAILS(wait(&status), ECHILD);
    static const int codes[] = {0, 1, 42, 127, 255, 256 + 3};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        pid_t child = CHILD({
            CHECK(getppid() == self && getpid() != self);
            _exit(codes[i]);
        });
        EXITS(child, codes[i] & 0xff);
        FAILS(waitpid(child, &status, 0), ECHILD);
        FAILS(kill(child, 0), ESRCH);
    }

    /* Output buffered before fork is in both. */
    int hold[2];
    OKAY(pipe(hold));
    pid_t child = CHILD({
        close(hold[1]);
        await(hold[0]);
        _exit(5);
    });
    EQUAL(OKAY(waitpid(child, &status, WNOHANG)), 0);
    EQUAL(OKAY(wait4(-1, &status, WNOHANG, &usage)), 0);
    EQUAL(OKAY(wait4(0, &status, WNOHANG, NULL)), 0);
    FAILS(waitpid(-child, &status, WNOHANG), ECHILD);
    FAILS(waitpid(1, &status, WNOHANG), ECHILD);
    FAILS(waitpid(child, &status, 0x1234), EINVAL);
    tell(hold[1]);
    memset(&usage, 0x55, sizeof usage);
    EQUAL(OKAY(wait4(-1, &status, 0, &usage)), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    CHECK(usage.ru_utime.tv_sec < 60 && usage.ru_stime.tv_sec < 60 && usage.ru_maxrss >= 0);

    /* Children end in any order; each is reported once. */
    pid_t children[20];
    for (int i = 0; i < 20; i++)
        children[i] = CHILD(_exit(i));
    int seen = 0;
    for (int i = 0; i < 20; i++) {
        pid_t got = (pid_t)OKAY(wait(&status));
        int which = WEXITSTATUS(status);
        CHECK(children[which] == got);
        CHECK(!(seen & 1 << which));
        seen |= 1 << which;
    }
    FAILS(wait(&status), ECHILD);

    /* A zombie still has its pid until it is waited for. */
    child = CHILD();
    await_state(child, 'Z');
    OKAY(kill(child, 0));
    OKAY(kill(child, SIGKILL));
    EXITS(child, 0);

    /* Killed by a signal; the raw status word. */
    child = CHILD(pause());
    OKAY(kill(child, SIGTERM));
    EQUAL(wait_for(child), SIGTERM);

    /* The memory of parent and child is separate. */
    static volatile int shared = 1;
    int up[2];
    OKAY(pipe(up));
    child = CHILD({
        shared = 2;
        tell(up[1]);
        await(hold[0]);
        EQUAL(shared, 2);
    });
    await(up[0]);
    EQUAL(shared, 1);
    shared = 3;
    tell(hold[1]);
    EXITS(child, 0);
    OKAY(getrusage(RUSAGE_CHILDREN, &usage));
    return ok("fork_wait");
}
