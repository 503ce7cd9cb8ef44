/* exec from a thread, from a vfork child, by descriptor, of oneself fifty times over. */
#include "guest.h"

static pid_t expected;

static void *exec_in_thread(void *nothing)
{
    (void)nothing;
    char text[16];
    snprintf(text, sizeof text, "%d", expected);
    OKAY(execl("/proc/self/exe", "exec_ways", "pid", text, NULL));
    return NULL;
}

static void *sleep_in_thread(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

static void *read_in_thread(void *fd)
{
    char byte;
    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "pid") == 0) {
        /* The thread that called exec has become the process; no other thread is left. */
        EQUAL(getpid(), atoi(arguments[2]));
        EQUAL(syscall(SYS_gettid), getpid());
        struct stat st;
        OKAY(stat("/proc/self/task", &st));
        EQUAL(st.st_nlink, 3);
        return 44;
    }
    if (count == 3 && strcmp(arguments[1], "again") == 0) {
        int left = atoi(arguments[2]);
        if (left == 0)
            return 55;
        char text[16];
        snprintf(text, sizeof text, "%d", left - 1);
        OKAY(execl("/proc/self/exe", "exec_ways", "again", text, NULL));
    }

    for (int i = 0; i < 5; i++) {
        pid_t child = CHILD({
            int ends[2];
            pthread_t thread;
            OKAY(pipe(ends));
            expected = getpid();
            for (int t = 0; t < 4; t++) {
                ZERO(pthread_create(&thread, NULL, sleep_in_thread, NULL));
                ZERO(pthread_create(&thread, NULL, read_in_thread, &ends[0]));
            }
            ZERO(pthread_create(&thread, NULL, exec_in_thread, NULL));
            for (;;)
                pause();
        });
        EXITS(child, 44);
    }
    /* From the main thread while others run. */
    pid_t child = CHILD({
        pthread_t thread;
        ZERO(pthread_create(&thread, NULL, sleep_in_thread, NULL));
        expected = getpid();
        exec_in_thread(NULL);
    });
    EXITS(child, 44);
    /* A failed exec leaves the other threads alive. */
    child = CHILD({
        int ends[2];
        pthread_t thread;
        OKAY(pipe(ends));
        ZERO(pthread_create(&thread, NULL, read_in_thread, &ends[0]));
        FAILS(execl("./nothing", "x", NULL), ENOENT);
        tell(ends[1]);
        ZERO(pthread_join(thread, NULL));
        _exit(66);
    });
    EXITS(child, 66);

    child = CHILD(OKAY(execl("/proc/self/exe", "exec_ways", "again", "50", NULL)));
    EXITS(child, 55);

    int fd = (int)OKAY(open("/bin/sh", O_RDONLY | O_CLOEXEC));
    child = CHILD(OKAY(fexecve(fd, (char *[]){"sh", "-c", "exit 4", NULL}, (char *[]){NULL})));
    EXITS(child, 4);
    int dir = (int)OKAY(open("/bin", O_PATH));
    child = CHILD(OKAY(syscall(SYS_execveat, dir, "sh", (char *[]){"sh", "-c", "exit 5", NULL}, NULL, 0)));
    EXITS(child, 5);
    FAILS(syscall(SYS_execveat, dir, "", (char *[]){"sh", NULL}, NULL, AT_EMPTY_PATH), EACCES);
    FAILS(syscall(SYS_execveat, 999, "sh", (char *[]){"sh", NULL}, NULL, 0), EBADF);

    /* From memory: a program that has no name. */
    int memory = (int)OKAY(memfd_create("program", MFD_CLOEXEC));
    int source = (int)OKAY(open("/bin/true", O_RDONLY));
    char buffer[65536];
    for (long n; (n = OKAY(read(source, buffer, sizeof buffer))) > 0;)
        write_all(memory, buffer, (size_t)n);
    child = CHILD(OKAY(fexecve(memory, (char *[]){"true", NULL}, (char *[]){NULL})));
    EXITS(child, 0);
    return ok("exec_ways");
}
