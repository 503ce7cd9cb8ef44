/* Thousands of signals while system calls go on: none is lost, no call is lost or done twice. */
#include "guest.h"

#define SIGNALS 2000

static volatile int queued, plain;

static void on_queued(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    EQUAL(info->si_value.sival_int, queued);
    queued++;
}

static void on_plain(int signal)
{
    (void)signal;
    plain++;
}

int main(void)
{
    int ends[2], fd = (int)OKAY(open("log", O_RDWR | O_CREAT | O_APPEND, 0600));
    OKAY(pipe(ends));
    handle(SIGRTMIN, on_queued, SA_RESTART);
    struct sigaction action = {.sa_handler = on_plain, .sa_flags = SA_RESTART};
    OKAY(sigaction(SIGUSR1, &action, NULL));
    pid_t self = getpid();
    pid_t sender = CHILD({
        OKAY(close(ends[1]));
        for (int i = 0; i < SIGNALS; i++) {
            while (sigqueue(self, SIGRTMIN, (union sigval){.sival_int = i}) == -1) {
                EQUAL(errno, EAGAIN);
                sched_yield();
            }
            if (i % 10 == 0)
                OKAY(kill(self, SIGUSR1));
        }
    });

    int written = 0;
    char text[16];
    while (queued < SIGNALS) {
        int n = snprintf(text, sizeof text, "%07d\n", written);
        EQUAL(OKAY(write(fd, text, (size_t)n)), n);
        int number = written, echo = -1;
        EQUAL(OKAY(write(ends[1], &number, sizeof number)), sizeof number);
        EQUAL(OKAY(read(ends[0], &echo, sizeof echo)), sizeof echo);
        EQUAL(echo, number);
        written++;
        if (written % 50 == 0) {
            pid_t child = CHILD(_exit(7));
            EXITS(child, 7);
        }
    }
    EXITS(sender, 0);
    EQUAL(queued, SIGNALS);
    CHECK(plain >= 1 && plain <= SIGNALS / 10);

    OKAY(lseek(fd, 0, SEEK_SET));
    for (int i = 0; i < written; i++) {
        EQUAL(read_all(fd, text, 8), 8);
        EQUAL(atoi(text), i);
    }
    EQUAL(read_all(fd, text, 8), 0);
    OKAY(unlink("log"));
    return ok("signal_storm");
}
