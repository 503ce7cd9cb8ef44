/* A daemon by double fork outlives its parent and finishes its work after it. */
#include "guest.h"

int main(void)
{
    int alive[2];
    OKAY(pipe(alive));
    pid_t first = CHILD({
        OKAY(setsid());
        pid_t daemon = CHILD({
            /* Wait until the program itself has ended: its end of the pipe closes. */
            OKAY(close(alive[1]));
            char byte;
            EQUAL(OKAY(read(alive[0], &byte, 1)), 0);
            CHECK(getsid(0) != getpid());
            int null = (int)OKAY(open("/dev/null", O_RDWR));
            OKAY(dup2(null, 0));
            make_file("unfinished", "the daemon has outlived its parent\n");
            OKAY(rename("unfinished", "from-the-daemon"));
        });
        (void)daemon;
    });
    EXITS(first, 0);
    OKAY(close(alive[0]));
    return ok("daemon");
}
