/* Processes that share descriptors (CLONE_FILES), the cwd (CLONE_FS) or their parent (CLONE_PARENT). */
#include "guest.h"
#include <linux/sched.h>

static pid_t sharing(unsigned long flags) { return (pid_t)OKAY(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0)); }

int main(void)
{
    int ends[2];
    char here[PATH_MAX], text[8];
    OKAY(pipe(ends));
    OKAY(mkdir("dir", 0755));

    pid_t child = sharing(CLONE_FILES);
    if (child == 0) {
        int fd = (int)OKAY(open("made", O_RDWR | O_CREAT, 0600));
        write_all(fd, "shared", 6);
        OKAY(dup2(fd, 50));
        _exit(0);
    }
    EXITS(child, 0);
    EQUAL(OKAY(pread(50, text, sizeof text, 0)), 6);
    child = sharing(CLONE_FILES);
    if (child == 0)
        _exit(close(50) == 0 ? 0 : 1);
    EXITS(child, 0);
    FAILS(fcntl(50, F_GETFD), EBADF);
    child = CHILD(OKAY(close(ends[0])));
    EXITS(child, 0);
    OKAY(fcntl(ends[0], F_GETFD));

    child = sharing(CLONE_FS);
    if (child == 0) {
        OKAY(chdir("dir"));
        umask(055);
        _exit(0);
    }
    EXITS(child, 0);
    CHECK(getcwd(here, sizeof here) != NULL);
    SAME_TEXT(strrchr(here, '/'), "/dir");
    EQUAL(umask(022), 055);

    /* A sibling instead of a child: our parent waits for it. */
    pid_t middle = CHILD({
        pid_t sibling = sharing(CLONE_PARENT);
        if (sibling == 0)
            _exit(9);
        FAILS(waitpid(sibling, NULL, 0), ECHILD);
        write_all(ends[1], &sibling, sizeof sibling);
    });
    pid_t sibling;
    EQUAL(read_all(ends[0], &sibling, sizeof sibling), sizeof sibling);
    EXITS(sibling, 9);
    EXITS(middle, 0);
    return ok("clone_shared");
}
