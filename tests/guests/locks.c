/* Record locks between processes, open-file-description locks, flock; deadlock; release at the end. */
#include "guest.h"
#include <sys/file.h>

static int lock(int fd, int command, short type, off_t start, off_t length)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

int main(void)
{
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    int hold[2], up[2];
    OKAY(ftruncate(fd, 1000));
    OKAY(pipe(hold));
    OKAY(pipe(up));
    pid_t self = getpid();

    OKAY(lock(fd, F_SETLK, F_WRLCK, 100, 100));
    pid_t child = CHILD({
        FAILS(lock(fd, F_SETLK, F_WRLCK, 150, 1), EAGAIN);
        FAILS(lock(fd, F_SETLK, F_RDLCK, 199, 10), EAGAIN);
        OKAY(lock(fd, F_SETLK, F_WRLCK, 200, 10));
        struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
        OKAY(fcntl(fd, F_GETLK, &probe));
        EQUAL(probe.l_type, F_WRLCK);
        EQUAL(probe.l_pid, self);
        EQUAL(probe.l_start, 100);
        EQUAL(probe.l_len, 100);
        tell(up[1]);
        /* Waits until the parent lets go. */
        OKAY(lock(fd, F_SETLKW, F_WRLCK, 100, 100));
        tell(up[1]);
        await(hold[0]);
    });
    await(up[0]);
    struct flock probe = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 200, .l_len = 1};
    OKAY(fcntl(fd, F_GETLK, &probe));
    EQUAL(probe.l_pid, child);
    await_state(child, 'S');
    OKAY(lock(fd, F_SETLK, F_UNLCK, 100, 100));
    await(up[0]);
    FAILS(lock(fd, F_SETLK, F_WRLCK, 150, 1), EAGAIN);
    tell(hold[1]);
    EXITS(child, 0);
    /* The end of a process ends its locks. */
    OKAY(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    probe = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    OKAY(fcntl(fd, F_GETLK, &probe));
    EQUAL(probe.l_type, F_UNLCK);
    /* So does closing any descriptor of the file. */
    OKAY(close(OKAY(open("file", O_RDONLY))));
    child = CHILD(OKAY(lock(fd, F_SETLK, F_WRLCK, 0, 0)));
    EXITS(child, 0);
    FAILS(lock(fd, F_SETLK, 99, 0, 0), EINVAL);
    FAILS(lock((int)OKAY(open("file", O_RDONLY)), F_SETLK, F_WRLCK, 0, 0), EBADF);

    /* Two that wait for each other: one is told. */
    OKAY(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    child = CHILD({
        OKAY(lock(fd, F_SETLK, F_WRLCK, 1, 1));
        tell(up[1]);
        if (lock(fd, F_SETLKW, F_WRLCK, 0, 1) == -1) {
            EQUAL(errno, EDEADLK);
            _exit(1);
        }
    });
    await(up[0]);
    await_state(child, 'S');
    pause_ms(20);
    if (lock(fd, F_SETLKW, F_WRLCK, 1, 1) == -1) {
        EQUAL(errno, EDEADLK);
        OKAY(lock(fd, F_SETLK, F_UNLCK, 0, 0));
        EXITS(child, 0);
    } else {
        EXITS(child, 1);
        OKAY(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    }

    /* Locks of the open file description conflict within one process too. */
    int other = (int)OKAY(open("file", O_RDWR));
    OKAY(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    FAILS(lock(other, F_OFD_SETLK, F_WRLCK, 0, 10), EAGAIN);
    probe = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    OKAY(fcntl(other, F_OFD_GETLK, &probe));
    EQUAL(probe.l_pid, -1);
    child = CHILD({
        OKAY(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
        FAILS(lock(fd, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
    });
    EXITS(child, 0);
    OKAY(lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0));

    OKAY(flock(fd, LOCK_EX));
    FAILS(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    child = CHILD({
        OKAY(flock(fd, LOCK_EX | LOCK_NB));
        FAILS(flock((int)OKAY(open("file", O_RDONLY)), LOCK_EX | LOCK_NB), EWOULDBLOCK);
        tell(up[1]);
        OKAY(flock(other, LOCK_EX));
    });
    await(up[0]);
    await_state(child, 'S');
    OKAY(flock(fd, LOCK_UN));
    EXITS(child, 0);
    FAILS(flock(fd, 0), EINVAL);
    OKAY(lockf(fd, F_TLOCK, 10));
    OKAY(lockf(fd, F_ULOCK, 10));
    return ok("locks");
}
