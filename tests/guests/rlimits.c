/* Limits: inherited, enforced (NOFILE, FSIZE, AS, NPROC's value), set for another process. */
#include "guest.h"
#include <sys/resource.h>

int main(void)
{
    struct rlimit limit, other;
    for (int what = 0; what < RLIMIT_NLIMITS; what++) {
        OKAY(getrlimit((enum __rlimit_resource)what, &limit));
        OKAY(prlimit(getpid(), (enum __rlimit_resource)what, NULL, &other));
        CHECK(limit.rlim_cur == other.rlim_cur && limit.rlim_max == other.rlim_max);
    }
    FAILS(syscall(SYS_getrlimit, 99, &limit), EINVAL);
    limit = (struct rlimit){200, 100};
    FAILS(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);

    OKAY(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    pid_t child = CHILD({
        limit = (struct rlimit){20, 20};
        OKAY(setrlimit(RLIMIT_NOFILE, &limit));
        int fd;
        do
            fd = dup(0);
        while (fd != -1 && fd < 19);
        EQUAL(fd, 19);
        FAILS(dup(0), EMFILE);
        FAILS(open("/dev/null", O_RDONLY), EMFILE);
        FAILS(dup2(0, 20), EBADF);
        FAILS(fcntl(0, F_DUPFD, 20), EINVAL);
        int ends[2];
        FAILS(pipe(ends), EMFILE);
        FAILS(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
        FAILS(poll((struct pollfd[21]){0}, 21, 0), EINVAL);
    });
    EXITS(child, 0);

    child = CHILD({
        limit = (struct rlimit){1000, 1000};
        OKAY(setrlimit(RLIMIT_FSIZE, &limit));
        signal(SIGXFSZ, SIG_IGN);
        int fd = (int)OKAY(open("limited", O_RDWR | O_CREAT, 0600));
        char data[1500] = {0};
        EQUAL(OKAY(write(fd, data, sizeof data)), 1000);
        FAILS(write(fd, data, 1), EFBIG);
        FAILS(ftruncate(fd, 2000), EFBIG);
        signal(SIGXFSZ, SIG_DFL);
        (void)!write(fd, data, 1);
    });
    DIES(child, SIGXFSZ);

    child = CHILD({
        limit = (struct rlimit){256 << 20, 256 << 20};
        OKAY(setrlimit(RLIMIT_AS, &limit));
        CHECK(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        EQUAL(errno, ENOMEM);
        CHECK(malloc(512 << 20) == NULL);
    });
    EXITS(child, 0);

    child = CHILD({
        limit = (struct rlimit){1, 2};
        OKAY(setrlimit(RLIMIT_CPU, &limit));
        for (;;)
            ;
    });
    DIES(child, SIGXCPU);

    /* Set by the parent while the child waits. */
    int hold[2];
    OKAY(pipe(hold));
    child = CHILD({
        await(hold[0]);
        OKAY(getrlimit(RLIMIT_NOFILE, &limit));
        EQUAL(limit.rlim_cur, 77);
        OKAY(execl("/bin/sh", "sh", "-c", "test $(ulimit -n) = 77", NULL));
    });
    limit = (struct rlimit){77, 88};
    OKAY(prlimit(child, RLIMIT_NOFILE, &limit, NULL));
    tell(hold[1]);
    EXITS(child, 0);
    return ok("rlimits");
}
