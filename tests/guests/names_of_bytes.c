/* Names of the program and of files that are no text: signals, waits, children, mappings and moves do not
 * depend on them. */
#include "shown.h"
#include <sys/prctl.h>

#define PAGE 4096

static volatile sig_atomic_t heard;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    heard = signal;
}

static void *end(void *argument)
{
    OKAY(prctl(PR_SET_NAME, "\x80) S 1 (\xc0"));
    return argument;
}

int main(void)
{
    char name[16] = {0};
    sigset_t set;
    siginfo_t info;
    struct timespec none = {0, 0}, long_ = {10, 0};
    OKAY(prctl(PR_SET_NAME, "\xff\xfe)\n(\x81 Z"));
    OKAY(prctl(PR_GET_NAME, name));
    show_bytes("name", name, sizeof name);
    CHECK(memcmp(file_text("/proc/self/comm"), name, strlen(name)) == 0);
    // A signal that waits, and one that does not.
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    SEE(sigtimedwait(&set, &info, &none));
    pid_t child = CHILD({
        OKAY(kill(getppid(), SIGUSR1));
        OKAY(kill(getppid(), SIGUSR1));
        OKAY(sigqueue(getppid(), SIGRTMIN, (union sigval){.sival_int = 7}));
    });
    EXITS(child, 0);
    SEE(sigtimedwait(&set, &info, &long_));
    SHOW(info.si_pid == child);
    SEE(sigtimedwait(&set, &info, &long_));
    SHOW(info.si_value.sival_int);
    SEE(sigtimedwait(&set, &info, &none));
    // Of those that came while one waited nothing is left, also not who sent them.
    child = CHILD({ OKAY(kill(getppid(), SIGUSR1)); });
    EXITS(child, 0);
    SEE(sigtimedwait(&set, &info, &long_));
    SHOW(info.si_pid == child);
    handle(SIGUSR2, hear, 0);
    child = CHILD({
        pause_ms(5);
        OKAY(kill(getppid(), SIGUSR2));
    });
    OKAY(sigprocmask(SIG_SETMASK, NULL, &set));
    while (!heard)
        sigsuspend(&set);
    SHOW(heard);
    EXITS(child, 0);
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, end, NULL));
    ZERO(pthread_join(thread, NULL));
    // A file of such a name, mapped and executed.
    int fd = (int)OKAY(open("\xfe\xff", O_RDWR | O_CREAT, 0700));
    write_all(fd, "#!/bin/sh\necho ran\n", 19);
    OKAY(close(fd));
    fd = (int)OKAY(open("\xfe\xff", O_RDONLY));
    char *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    SHOW(at[0]);
    OKAY(close(fd));
    // Time to be moved with all that.
    for (int turn = 0; turn < 20; turn++) {
        pause_ms(10);
        EQUAL(at[1], '!');
    }
    fflush(stdout);
    child = CHILD({
        execl("\xfe\xff", "\xfe\xff", NULL);
        _exit(GUEST_FAILED);
    });
    EXITS(child, 0);
    OKAY(unlink("\xfe\xff"));
    return ok("names_of_bytes");
}
