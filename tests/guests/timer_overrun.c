/* Timers that go off more often than their signal is taken: each time is counted. */
#include "guest.h"
#include <sys/signalfd.h>

static volatile long delivered, overruns;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    EQUAL(info->si_code, SI_TIMER);
    EQUAL(info->si_value.sival_int, 12);
    delivered++;
    overruns += info->si_overrun;
}

static timer_t started(int signal, long period_us)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    event.sigev_value.sival_int = 12;
    OKAY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec periodic = {{0, period_us * 1000}, {0, period_us * 1000}};
    OKAY(timer_settime(timer, 0, &periodic, NULL));
    return timer;
}

static void blocked(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    timer_t timer = started(signal, 1000);
    siginfo_t info;
    for (int i = 0; i < 3; i++) {
        pause_ms(30);
        EQUAL(OKAY(sigwaitinfo(&set, &info)), signal);
        EQUAL(info.si_code, SI_TIMER);
        EQUAL(info.si_value.sival_int, 12);
        CHECK(info.si_overrun >= 20);
        EQUAL(OKAY(timer_getoverrun(timer)), info.si_overrun);
    }
    /* By a signalfd. */
    struct signalfd_siginfo read_info;
    int fd = (int)OKAY(signalfd(-1, &set, SFD_CLOEXEC));
    EQUAL(OKAY(read(fd, &read_info, sizeof read_info)), sizeof read_info);
    pause_ms(30);
    EQUAL(OKAY(read(fd, &read_info, sizeof read_info)), sizeof read_info);
    CHECK(read_info.ssi_overrun >= 20);
    OKAY(close(fd));
    /* Delivered when it is let through. */
    delivered = overruns = 0;
    handle(signal, handler, 0);
    pause_ms(30);
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    if (delivered < 1 || overruns < 20)
        guest_failed(__FILE_NAME__, __LINE__, "%ld signals, %ld overruns", delivered, overruns);
    OKAY(timer_delete(timer));
}

int main(void)
{
    blocked(SIGRTMIN + 3);
    blocked(SIGUSR1);
    /* Not blocked: none is lost, however long it takes to hear of one. */
    delivered = overruns = 0;
    struct timespec from, now;
    OKAY(clock_gettime(CLOCK_MONOTONIC, &from));
    timer_t timer = started(SIGUSR1, 2000);
    while (delivered + overruns < 50)
        pause_ms(1);
    OKAY(clock_gettime(CLOCK_MONOTONIC, &now));
    long elapsed_ms = (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000;
    CHECK(elapsed_ms >= 99);
    CHECK(delivered + overruns <= elapsed_ms / 2 + 1);
    OKAY(timer_delete(timer));
    return ok("timer_overrun");
}
