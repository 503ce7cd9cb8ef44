/* unshare and clone with a new user namespace: another host name, pid 1 in a new pid namespace. */
#include "guest.h"
#include <linux/sched.h>

int main(void)
{
    pid_t child = CHILD({
        OKAY(unshare(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID));
        OKAY(sethostname("another", 7));
        char name[64];
        OKAY(gethostname(name, sizeof name));
        SAME_TEXT(name, "another");
        pid_t first = CHILD(_exit(getpid() == 1 ? 8 : 1));
        EXITS(first, 8);
    });
    EXITS(child, 0);
    return ok("namespaces");
}
