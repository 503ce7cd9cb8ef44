/* What prctl has set of processors and memory acts as long as the program runs, in its children, and in what they execute. */
#include "guest.h"
#include <sys/prctl.h>

static volatile sig_atomic_t faults;

/* Skips the two bytes of rdtsc. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    faults++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void read_counter(void)
{
    __asm__ volatile("rdtsc" ::: "rax", "rdx");
}

/* Without a clock, which would read the counter. */
static void pass_time(void)
{
    for (int i = 0; i < 25; i++) {
        struct timespec time = {0, 10000000};
        syscall(SYS_nanosleep, &time, NULL);
    }
}

static void *other(void *unused)
{
    (void)unused;
    faults = 0;
    OKAY(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
    pass_time();
    read_counter();
    EQUAL(faults, 0);
    return NULL;
}

static int shown(const char *name)
{
    char text[16384];
    int fd = (int)OKAY(open("/proc/self/status", O_RDONLY));
    ssize_t bytes = OKAY(read(fd, text, sizeof text - 1));
    text[bytes] = 0;
    OKAY(close(fd));
    const char *line = strstr(text, name);
    CHECK(line != NULL);
    return atoi(line + strlen(name));
}

static void check(int counter)
{
    int before = faults;
    read_counter();
    EQUAL(faults - before, counter == PR_TSC_SIGSEGV);
    EQUAL(shown("THP_enabled:"), 0);
    EQUAL(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 70000);
    EQUAL(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    int how = 0;
    OKAY(prctl(PR_GET_TSC, &how, 0, 0, 0));
    EQUAL(how, counter);
    pass_time();
}

int main(int count, char **arguments)
{
    (void)arguments;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    OKAY(sigaction(SIGSEGV, &action, NULL));
    if (count > 1) {
        check(PR_TSC_ENABLE);
        return 0;
    }
    OKAY(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    OKAY(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    OKAY(prctl(PR_SET_TIMERSLACK, 70000, 0, 0, 0));
    for (int i = 0; i < 4; i++)
        check(PR_TSC_SIGSEGV);
    pid_t child = CHILD({
        faults = 0;
        pass_time();
        read_counter();
        EQUAL(faults, 1);
        EQUAL(shown("THP_enabled:"), 0);
    });
    EXITS(child, 0);
    child = CHILD({
        /* Who begins a program reads the counter. */
        OKAY(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
        OKAY(execl("/proc/self/exe", "settings", "again", NULL));
    });
    EXITS(child, 0);
    /* Each thread has its own. */
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, other, NULL));
    ZERO(pthread_join(thread, NULL));
    faults = 0;
    read_counter();
    EQUAL(faults, 1);
    return ok("settings");
}
