/* Descriptors of /proc/PID files: read again, duplicated, inherited, in pieces, of others, in any state. */
#include "guest.h"
#include <sys/prctl.h>

static long resident(int fd)
{
    char text[256];
    long pages, resident_pages;
    text[OKAY(pread(fd, text, sizeof text - 1, 0))] = 0;
    EQUAL(sscanf(text, "%ld %ld", &pages, &resident_pages), 2);
    return resident_pages;
}

static char state_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    const char *at = strstr(file_text(path), "\nState:\t");
    CHECK(at != NULL);
    return at[8];
}

static void *named(void *up)
{
    char name[16];
    int *ends = up;
    tell(ends[1]);
    await(ends[2]);
    OKAY(prctl(PR_GET_NAME, name));
    SAME_TEXT(name, "by another");
    return NULL;
}

int main(int count, char **arguments)
{
    enum { MORE = 8 << 20 };
    EQUAL(count, 1);
    /* Read again, it tells what is now: by position, and after going back. */
    int fd = (int)OKAY(open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
    long before = resident(fd);
    char *memory = mmap(NULL, MORE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, MORE);
    CHECK(resident(fd) >= before + MORE / 4096 - 16);
    int copy = (int)OKAY(fcntl(fd, F_DUPFD_CLOEXEC, 100));
    OKAY(munmap(memory, MORE));
    CHECK(resident(copy) < before + MORE / 4096 - 16);
    OKAY(dup2(copy, 101));
    CHECK(resident(101) > 0);
    char one[300], two[300];
    long n = OKAY(read(fd, one, sizeof one));
    CHECK(n > 10 && one[n - 1] == '\n');
    EQUAL(OKAY(lseek(copy, 0, SEEK_CUR)), n);
    EQUAL(OKAY(read(copy, two, sizeof two)), 0);
    EQUAL(OKAY(lseek(fd, 0, SEEK_SET)), 0);
    CHECK(OKAY(read(copy, two, sizeof two)) > 10);
    struct stat st;
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, 0);
    EQUAL(st.st_mode, S_IFREG | 0444);
    FAILS(write(fd, "x", 1), EBADF);

    /* In pieces, whole lines come of it. */
    char pieces[1 << 16];
    size_t length = 0;
    fd = (int)OKAY(open("/proc/self/maps", O_RDONLY));
    struct iovec parts[2];
    do {
        parts[0] = (struct iovec){pieces + length, 7};
        parts[1] = (struct iovec){pieces + length + 7, 30};
        n = OKAY(readv(fd, parts, 2));
        length += (size_t)n;
        CHECK(length < sizeof pieces - 64);
    } while (n > 0);
    pieces[length] = 0;
    CHECK(strstr(pieces, "[stack]\n") != NULL && strstr(pieces, "/proc_live\n") != NULL);
    for (char *line = strtok(pieces, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned long from, to;
        char rights[5];
        EQUAL(sscanf(line, "%lx-%lx %4s", &from, &to, rights), 3);
        CHECK(from < to);
    }
    OKAY(close(fd));

    /* The number means another file now. */
    make_file("plain", "plain");
    EQUAL(OKAY(open("plain", O_RDONLY)), fd);
    EQUAL(OKAY(read(fd, one, sizeof one)), 5);
    OKAY(close(fd));

    /* Opened here, read by a child: it is about us still. */
    fd = (int)OKAY(open("/proc/self/stat", O_RDONLY));
    int parent = getpid();
    pid_t child = CHILD({
        one[OKAY(read(fd, one, sizeof one - 1))] = 0;
        EQUAL(atoi(one), parent);
        const char *state = strrchr(one, ')') + 2;
        CHECK(*state == 'S' || *state == 'R');
    });
    EXITS(child, 0);
    OKAY(close(fd));
    child = CHILD({
        OKAY(dup2(OKAY(open("/proc/self/statm", O_RDONLY)), 0));
        OKAY(execlp("sh", "sh", "-c", "read pages rss rest && test $rss -gt 100", NULL));
    });
    EXITS(child, 0);

    /* What another process does: computes, waits in calls of either kind, is stopped. */
    int hold[2], up[2];
    OKAY(pipe(hold));
    OKAY(pipe(up));
    child = CHILD(for (;;););
    await_state(child, 'R');
    EQUAL(state_of(child), 'R');
    OKAY(kill(child, SIGSTOP));
    int status;
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
    EQUAL(state_of(child), 'T');
    OKAY(kill(child, SIGCONT));
    await_state(child, 'R');
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);
    child = CHILD({
        await(hold[0]);
        pause_ms(1000000);
    });
    await_state(child, 'S');
    OKAY(kill(child, SIGSTOP));
    EQUAL(OKAY(waitpid(child, &status, WUNTRACED)), child);
    EQUAL(state_of(child), 'T');
    OKAY(kill(child, SIGCONT));
    await_state(child, 'S');
    tell(hold[1]);
    pause_ms(20);
    EQUAL(state_of(child), 'S');

    /* Memory of another, and of ourselves by address. */
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    static char ours[] = "in both";
    int mem = (int)OKAY(open(path, O_RDWR));
    EQUAL(OKAY(pread(mem, one, 7, (off_t)(uintptr_t)ours)), 7);
    CHECK(memcmp(one, "in both", 7) == 0);
    EQUAL(OKAY(pwrite(mem, "IN", 2, (off_t)(uintptr_t)ours)), 2);
    SAME_TEXT(ours, "in both");
    OKAY(lseek(mem, (off_t)(uintptr_t)ours, SEEK_SET));
    EQUAL(OKAY(read(mem, one, 3)), 3);
    EQUAL(OKAY(read(mem, one + 3, 4)), 4);
    CHECK(memcmp(one, "IN both", 7) == 0);
    FAILS(pread(mem, one, 1, 0), EIO);
    OKAY(close(mem));
    OKAY(kill(child, SIGKILL));
    DIES(child, SIGKILL);

    /* A thread renamed by another. */
    pthread_t thread;
    int ends[] = {up[0], up[1], hold[0]};
    ZERO(pthread_create(&thread, NULL, named, ends));
    await(up[0]);
    ZERO(pthread_setname_np(thread, "by another"));
    char got[16];
    ZERO(pthread_getname_np(thread, got, sizeof got));
    SAME_TEXT(got, "by another");
    tell(hold[1]);
    ZERO(pthread_join(thread, NULL));

    /* A title in place of the arguments. */
    arguments[0][0] = '#';
    EQUAL(file_text("/proc/self/cmdline")[0], '#');
    return ok("proc_live");
}
