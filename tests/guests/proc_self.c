/* /proc/self and /proc/PID agree with what the process knows of itself. */
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

static char data[4096] = "initialised";

/* The value of a line `name:\tvalue` in /proc/PID/status. */
static const char *status_field(const char *path, const char *name)
{
    static char value[256];
    const char *text = file_text(path);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s:\t", name);
    const char *at = strstr(text, wanted);
    CHECK(at != NULL);
    at += strlen(wanted);
    size_t length = strcspn(at, "\n");
    memcpy(value, at, length);
    value[length] = 0;
    return value;
}

/* The line of /proc/self/maps in which this address lies. */
static const char *map_line(const void *address)
{
    static char line[8192];
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        EQUAL(sscanf(line, "%lx-%lx", &from, &to), 2);
        if ((unsigned long)address >= from && (unsigned long)address < to) {
            fclose(maps);
            line[strcspn(line, "\n")] = 0;
            return line;
        }
    }
    guest_failed(__FILE_NAME__, __LINE__, "an address is in no line of maps");
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

int main(int count, char **arguments, char **environment)
{
    char path[PATH_MAX], target[PATH_MAX], here[PATH_MAX], *heap = malloc(1000);
    (void)count;
    snprintf(path, sizeof path, "%d", getpid());
    target[OKAY(readlink("/proc/self", target, sizeof target))] = 0;
    SAME_TEXT(target, path);
    snprintf(path, sizeof path, "%d/task/%ld", getpid(), syscall(SYS_gettid));
    target[OKAY(readlink("/proc/thread-self", target, sizeof target))] = 0;
    SAME_TEXT(target, path);

    target[OKAY(readlink("/proc/self/cwd", target, sizeof target))] = 0;
    CHECK(getcwd(here, sizeof here) != NULL);
    SAME_TEXT(target, here);
    target[OKAY(readlink("/proc/self/root", target, sizeof target))] = 0;
    SAME_TEXT(target, "/");
    target[OKAY(readlink("/proc/self/exe", target, sizeof target))] = 0;
    CHECK(ends_with(target, "/proc_self"));
    CHECK(realpath(arguments[0], here) != NULL);
    SAME_TEXT(target, here);
    int exe = (int)OKAY(open("/proc/self/exe", O_RDONLY));
    char magic[4];
    EQUAL(OKAY(read(exe, magic, 4)), 4);
    CHECK(memcmp(magic, ELFMAG, 4) == 0);
    OKAY(close(exe));

    SAME_TEXT(file_text("/proc/self/cmdline"), arguments[0]);
    SAME_TEXT(file_text("/proc/self/comm"), "proc_self\n");
    OKAY(prctl(PR_SET_NAME, "renamed"));
    SAME_TEXT(file_text("/proc/self/comm"), "renamed\n");
    SAME_TEXT(status_field("/proc/self/status", "Name"), "renamed");
    OKAY(close(OKAY(open("/proc/self/comm", O_WRONLY))));
    if (environment[0] != NULL)
        SAME_TEXT(file_text("/proc/self/environ"), environment[0]);

    /* fd: exactly ours. */
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT | O_APPEND, 0600));
    write_all(fd, "12345", 5);
    bool seen = false;
    int open_fds = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        int n = atoi(e->d_name);
        open_fds++;
        seen |= n == fd;
        CHECK(fcntl(n, F_GETFD) != -1);
    }
    closedir(dir);
    CHECK(seen);
    int really = 0;
    for (int n = 0; n < 1024; n++)
        really += fcntl(n, F_GETFD) != -1;
    EQUAL(open_fds, really + 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    target[OKAY(readlink(path, target, sizeof target))] = 0;
    CHECK(ends_with(target, "/file"));
    struct stat one, two;
    OKAY(stat(path, &one));
    OKAY(fstat(fd, &two));
    EQUAL(one.st_ino, two.st_ino);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    CHECK(strstr(file_text(path), "pos:\t5\n") != NULL);
    CHECK(strstr(file_text(path), "flags:\t0102002\n") != NULL);

    /* maps: every address we know lies where it should. */
    char local = 0;
    CHECK(ends_with(map_line(&local), "[stack]"));
    const char *line = map_line(&data[0]);
    CHECK(ends_with(line, "/proc_self") && strstr(line, " rw-p ") != NULL);
    line = map_line((void *)(uintptr_t)main);
    CHECK(ends_with(line, "/proc_self") && strstr(line, " r-xp ") != NULL);
    CHECK(ends_with(map_line(heap), "[heap]"));
    CHECK(strstr(map_line((void *)(uintptr_t)printf), "libc") != NULL);
    CHECK(ends_with(map_line((void *)getauxval(AT_SYSINFO_EHDR)), "[vdso]"));
    char *anonymous = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(strstr(map_line(anonymous), " r--p 00000000 00:00 0") != NULL);
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    line = map_line(mapped);
    CHECK(ends_with(line, "/file") && strstr(line, " rw-p 00000000 ") != NULL);
    CHECK(strstr(file_text("/proc/self/smaps"), "Rss:") != NULL);
    int memory = (int)OKAY(open("/proc/self/mem", O_RDWR));
    EQUAL(OKAY(pread(memory, here, 11, (off_t)(uintptr_t)data)), 11);
    CHECK(memcmp(here, "initialised", 11) == 0);
    EQUAL(OKAY(pwrite(memory, "I", 1, (off_t)(uintptr_t)data)), 1);
    EQUAL(*(volatile char *)data, 'I');

    /* status and stat. */
    EQUAL(atoi(status_field("/proc/self/status", "Pid")), getpid());
    EQUAL(atoi(status_field("/proc/self/status", "Tgid")), getpid());
    EQUAL(atoi(status_field("/proc/self/status", "PPid")), getppid());
    EQUAL(atoi(status_field("/proc/self/status", "TracerPid")) >= 0, 1);
    EQUAL(atoi(status_field("/proc/self/status", "Uid")), getuid());
    EQUAL(atoi(status_field("/proc/self/status", "Threads")), 1);
    EQUAL(status_field("/proc/self/status", "State")[0], 'R');
    CHECK(atol(status_field("/proc/self/status", "VmRSS")) > 0);
    CHECK(atol(status_field("/proc/self/status", "VmSize")) > 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR1, SIG_IGN);
    OKAY(raise(SIGUSR2));
    EQUAL(strtoul(status_field("/proc/self/status", "SigBlk"), NULL, 16), 1ul << (SIGUSR2 - 1));
    CHECK(strtoul(status_field("/proc/self/status", "SigIgn"), NULL, 16) & 1ul << (SIGUSR1 - 1));
    /* raise sends to the thread, kill to the process. */
    EQUAL(strtoul(status_field("/proc/self/status", "SigPnd"), NULL, 16), 1ul << (SIGUSR2 - 1));
    OKAY(kill(getpid(), SIGUSR2));
    EQUAL(strtoul(status_field("/proc/self/status", "ShdPnd"), NULL, 16), 1ul << (SIGUSR2 - 1));
    int pid, parent, group, session;
    char state;
    EQUAL(sscanf(file_text("/proc/self/stat"), "%d (renamed) %c %d %d %d", &pid, &state, &parent, &group, &session), 5);
    EQUAL(pid, getpid());
    EQUAL(state, 'R');
    EQUAL(parent, getppid());
    EQUAL(group, getpgrp());
    EQUAL(session, getsid(0));
    long pages, resident;
    EQUAL(sscanf(file_text("/proc/self/statm"), "%ld %ld", &pages, &resident), 2);
    CHECK(pages > resident && resident > 0);
    CHECK(strstr(file_text("/proc/self/limits"), "Max open files") != NULL);
    CHECK(strstr(file_text("/proc/self/mountinfo"), " / / ") != NULL);

    int auxv = (int)OKAY(open("/proc/self/auxv", O_RDONLY));
    Elf64_auxv_t entry;
    bool found = false;
    while (read_all(auxv, &entry, sizeof entry) == sizeof entry && entry.a_type != AT_NULL)
        if (entry.a_type == AT_ENTRY) {
            found = true;
            EQUAL(entry.a_un.a_val, getauxval(AT_ENTRY));
        }
    CHECK(found);

    /* The same by number, and of a child. */
    int hold[2];
    OKAY(pipe(hold));
    pid_t child = CHILD(await(hold[0]));
    snprintf(path, sizeof path, "/proc/%d/status", child);
    EQUAL(atoi(status_field(path, "PPid")), getpid());
    EQUAL(atoi(status_field(path, "Pid")), child);
    snprintf(path, sizeof path, "/proc/%d/cmdline", child);
    SAME_TEXT(file_text(path), arguments[0]);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", child, fd);
    target[OKAY(readlink(path, target, sizeof target))] = 0;
    CHECK(ends_with(target, "/file"));
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    CHECK(strstr(file_text(path), "[stack]") != NULL);
    tell(hold[1]);
    await_state(child, 'Z');
    EXITS(child, 0);
    FAILS(access(path, F_OK), ENOENT);
    return ok("proc_self");
}
