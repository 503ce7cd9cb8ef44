/* Thread ids, names, /proc/self/task, tgkill. */
#include "guest.h"

#define THREADS 10

static pid_t tids[THREADS];
static int hold[2], up[2];
static volatile int handled_by[THREADS];
static __thread int number = -1;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    EQUAL(info->si_code, SI_TKILL);
    EQUAL(info->si_pid, getpid());
    handled_by[number]++;
}

static void *work(void *argument)
{
    char name[16], path[64];
    number = (int)(long)argument;
    tids[number] = (pid_t)syscall(SYS_gettid);
    snprintf(name, sizeof name, "worker-%d", number);
    ZERO(pthread_setname_np(pthread_self(), name));
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", tids[number]);
    char got[32] = "";
    ZERO(pthread_getname_np(pthread_self(), got, sizeof got));
    SAME_TEXT(got, name);
    tell(up[1]);
    char byte;
    long n;
    do
        n = read(hold[0], &byte, 1);
    while (n == -1 && errno == EINTR);
    return NULL;
}

static int tasks(void)
{
    int found = 0;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        pid_t tid = atoi(e->d_name);
        if (tid == 0)
            continue;
        found++;
        bool known = tid == getpid();
        for (int i = 0; i < THREADS; i++)
            known |= tid == tids[i];
        CHECK(known);
    }
    closedir(dir);
    return found;
}

int main(void)
{
    pthread_t threads[THREADS];
    OKAY(pipe(hold));
    OKAY(pipe(up));
    EQUAL(syscall(SYS_gettid), getpid());
    handle(SIGUSR1, handler, 0);
    EQUAL(tasks(), 1);
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, work, (void *)i));
    for (int i = 0; i < THREADS; i++)
        await(up[0]);
    EQUAL(tasks(), THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        char path[64], wanted[32];
        CHECK(tids[i] != getpid());
        for (int j = 0; j < i; j++)
            CHECK(tids[i] != tids[j]);
        snprintf(path, sizeof path, "/proc/%d/task/%d/comm", getpid(), tids[i]);
        snprintf(wanted, sizeof wanted, "worker-%d\n", i);
        SAME_TEXT(file_text(path), wanted);
    }
    for (int i = 0; i < THREADS; i++)
        OKAY(syscall(SYS_tgkill, getpid(), tids[i], SIGUSR1));
    for (int i = 0; i < THREADS; i++)
        while (handled_by[i] == 0)
            pause_ms(1);
    FAILS(syscall(SYS_tgkill, 1, tids[0], 0), ESRCH);
    FAILS(syscall(SYS_tgkill, getpid(), -1, 0), EINVAL);
    for (int i = 0; i < THREADS; i++)
        tell(hold[1]);
    for (int i = 0; i < THREADS; i++) {
        ZERO(pthread_join(threads[i], NULL));
        EQUAL(handled_by[i], 1);
    }
    while (tasks() != 1)
        pause_ms(1);
    return ok("threads_ids");
}
