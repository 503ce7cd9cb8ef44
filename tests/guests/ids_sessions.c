/* Process, group, session and user ids; setsid, setpgid; dropping privileges in a child. */
#include "guest.h"
#include <grp.h>
#include <sys/fsuid.h>

int main(void)
{
    pid_t self = getpid(), parent = getppid();
    CHECK(self > 1 && parent > 0 && parent != self);
    EQUAL(getpgid(0), getpgrp());
    EQUAL(getpgid(self), getpgrp());
    EQUAL(getsid(0), getsid(self));
    EQUAL(getpgid(parent), getpgid(parent));
    FAILS(getpgid(0x7ffffffe), ESRCH);
    FAILS(getsid(-1), ESRCH);
    FAILS(setpgid(0, -1), EINVAL);
    FAILS(setpgid(1, 1), ESRCH);

    pid_t child = CHILD({
        pid_t me = getpid();
        EQUAL(getppid(), self);
        EQUAL(getpgrp(), getpgid(self));
        EQUAL(OKAY(setsid()), me);
        EQUAL(getsid(0), me);
        EQUAL(getpgrp(), me);
        FAILS(setsid(), EPERM);
        FAILS(setpgid(0, 0), EPERM);
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        pid_t grandchild = CHILD({
            EQUAL(getsid(0), me);
            OKAY(setpgid(0, 0));
            EQUAL(getpgrp(), getpid());
            EQUAL(getsid(0), me);
            OKAY(setpgid(0, me));
            EQUAL(getpgrp(), me);
        });
        EXITS(grandchild, 0);
    });
    EXITS(child, 0);
    int hold[2];
    OKAY(pipe(hold));
    child = CHILD(await(hold[0]));
    OKAY(setpgid(child, child));
    EQUAL(getpgid(child), child);
    FAILS(setpgid(child, 0x7ffffffe), EPERM);
    tell(hold[1]);
    EXITS(child, 0);
    /* Once a child has executed another program its group is its own affair. */
    int said[2];
    OKAY(pipe(said));
    child = CHILD({
        OKAY(dup2(said[1], 1));
        OKAY(execl("/bin/sh", "sh", "-c", "printf !; exec sleep 1000", NULL));
    });
    await(said[0]);
    FAILS(setpgid(child, child), EACCES);
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);

    uid_t real, effective, saved;
    OKAY(getresuid(&real, &effective, &saved));
    EQUAL(real, getuid());
    EQUAL(effective, geteuid());
    gid_t real_g, effective_g, saved_g;
    OKAY(getresgid(&real_g, &effective_g, &saved_g));
    EQUAL(real_g, getgid());
    EQUAL(effective_g, getegid());
    int count = (int)OKAY(getgroups(0, NULL));
    gid_t groups[count + 1];
    EQUAL(OKAY(getgroups(count, groups)), count);
    OKAY(setuid(getuid()));
    OKAY(setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1));
    EQUAL(setfsuid((uid_t)-1), geteuid());

    if (geteuid() == 0) {
        OKAY(chmod(".", 0755));
        make_file("secret", "root's");
        OKAY(chmod("secret", 0600));
        child = CHILD({
            gid_t some[3] = {65534, 100, 101};
            OKAY(setgroups(3, some));
            EQUAL(OKAY(getgroups(0, NULL)), 3);
            OKAY(setresgid(65534, 65534, 65534));
            OKAY(setresuid(65534, 65534, 65534));
            EQUAL(getuid(), 65534);
            FAILS(open("secret", O_RDONLY), EACCES);
            FAILS(setuid(0), EPERM);
            FAILS(kill(1, 0), EPERM);
            FAILS(chown("secret", 65534, 65534), EPERM);
            struct stat st;
            OKAY(stat("/proc/self", &st));
        });
        EXITS(child, 0);
        child = CHILD({
            OKAY(seteuid(65534));
            FAILS(open("secret", O_RDONLY), EACCES);
            OKAY(seteuid(0));
            OKAY(close(OKAY(open("secret", O_RDONLY))));
        });
        EXITS(child, 0);
    } else {
        FAILS(setuid(0), EPERM);
        FAILS(kill(1, 0), EPERM);
        FAILS(setgroups(0, NULL), EPERM);
    }
    return ok("ids_sessions");
}
