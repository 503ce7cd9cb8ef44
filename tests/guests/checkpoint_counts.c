// Counts, in memory that it checks, into a file: for checkpoints. Ends when `over` is there,
// or after LIMIT lines. WHAT says what else it has.
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORDS = 1 << 18, LIMIT = 3000, THREADS = 3 };
static uint64_t memory[WORDS];
static volatile int alarms, over;
static _Atomic uint64_t turns[THREADS];
static pthread_mutex_t mutex;

static void alarmed(int signal) { (void)signal; alarms++; }

static void *turn(void *at) {
    while (!over) {
        assert(pthread_mutex_lock(&mutex) == 0);
        assert(pthread_mutex_lock(&mutex) == 0);
        turns[(intptr_t)at]++;
        assert(pthread_mutex_unlock(&mutex) == 0);
        assert(pthread_mutex_unlock(&mutex) == 0);
        usleep(500);
    }
    return at;
}

static uint64_t sum(void) {
    uint64_t sum = 0;
    for (int at = 0; at < WORDS; at++) sum = sum * 31 + memory[at];
    return sum;
}

int main(void) {
    const char *what = getenv("WHAT") ? getenv("WHAT") : "";
    int numbers = open("numbers", O_CREAT | O_TRUNC | O_WRONLY, 0644);
    int twin = dup(numbers), log = open("log", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    assert(numbers >= 0 && twin >= 0 && log >= 0);
    umask(027);
    if (!strcmp(what, "pipe")) { int ends[2]; assert(pipe(ends) == 0); }
    if (!strcmp(what, "lock")) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        assert(fcntl(numbers, F_SETLK, &lock) == 0);
    }
    if (!strcmp(what, "deleted")) { assert(unlink("log") == 0); }
    if (!strcmp(what, "child")) { if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); pause(); _exit(0); } }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    raise(SIGUSR1);
    struct sigaction action = {.sa_handler = alarmed, .sa_flags = SA_RESTART};
    assert(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval each = {{0, 20000}, {0, 20000}};
    assert(setitimer(ITIMER_REAL, &each, NULL) == 0);
    pthread_t threads[THREADS];
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &recursive);
    int count = !strcmp(what, "threads") ? THREADS : 0;
    for (intptr_t at = 0; at < count; at++) assert(pthread_create(&threads[at], NULL, turn, (void *)at) == 0);

    for (int at = 0; at < WORDS; at++) memory[at] = at * 0x9e3779b97f4a7c15u;
    uint64_t before = sum();
    printf("ready\n");
    fflush(stdout);
    uint64_t begun[THREADS] = {0};
    int line = 0, began_alarms = 0;
    pid_t self = getpid();
    for (; line < LIMIT && access("over", F_OK) != 0; line++) {
        if (self != getpid()) {
            // Restarted: from here on it counts anew that all goes on.
            self = getpid();
            began_alarms = alarms;
            for (int at = 0; at < count; at++) begun[at] = turns[at];
            printf("restarted\n");
            fflush(stdout);
        }
        char text[32];
        int bytes = snprintf(text, sizeof text, "%d\n", line);
        assert(write(line % 2 ? twin : numbers, text, bytes) == bytes);
        assert(write(log, "x", 1) == 1);
        memory[line] ^= line;
        usleep(3000);
    }
    for (int at = 0; at < line; at++) memory[at] ^= at;
    assert(sum() == before);
    assert(alarms > began_alarms);
    assert(fcntl(log, F_GETFD) == FD_CLOEXEC && (fcntl(log, F_GETFL) & O_APPEND));
    assert(umask(0) == 027);
    sigset_t waiting;
    assert(sigpending(&waiting) == 0 && sigismember(&waiting, SIGUSR1));
    assert(sigprocmask(0, NULL, &set) == 0 && sigismember(&set, SIGUSR1));
    for (int at = 0; at < count; at++) assert(turns[at] > begun[at]);
    over = 1;
    for (int at = 0; at < count; at++) assert(pthread_join(threads[at], NULL) == 0);
    struct stat meta;
    assert(fstat(numbers, &meta) == 0 && lseek(twin, 0, SEEK_CUR) == meta.st_size);
    // Each line once, in order.
    FILE *file = fopen("numbers", "r");
    assert(file);
    for (int at = 0, number; at < line; at++) assert(fscanf(file, "%d", &number) == 1 && number == at);
    assert(syscall(SYS_gettid) == getpid());
    // To itself, by the id that the C library has kept.
    signal(SIGUSR2, SIG_IGN);
    assert(raise(SIGUSR2) == 0);
    printf("OK checkpoint_counts\n");
    return 0;
}
