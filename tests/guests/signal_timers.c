/* alarm, setitimer, timer_create with SIGEV_SIGNAL, THREAD_ID and THREAD; virtual and profiling time. */
#include "guest.h"

static volatile int count;
static volatile siginfo_t got;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    got = *info;
    count++;
}

static volatile int called;
static void by_thread(union sigval value) { called = value.sival_int; }

static void await_count(int wanted)
{
    while (count < wanted)
        pause_ms(1);
}

int main(void)
{
    handle(SIGALRM, handler, 0);
    handle(SIGVTALRM, handler, 0);
    handle(SIGPROF, handler, 0);
    handle(SIGRTMIN, handler, 0);

    EQUAL(alarm(1000), 0);
    CHECK(alarm(1) > 990);
    pause();
    EQUAL(count, 1);
    EQUAL(got.si_signo, SIGALRM);
    EQUAL(got.si_code, SI_KERNEL);
    EQUAL(alarm(0), 0);

    count = 0;
    struct itimerval often = {{0, 2000}, {0, 1000}}, never = {0}, old;
    OKAY(setitimer(ITIMER_REAL, &often, NULL));
    await_count(20);
    OKAY(setitimer(ITIMER_REAL, &never, &old));
    EQUAL(old.it_interval.tv_usec, 2000);
    count = 0;
    OKAY(setitimer(ITIMER_VIRTUAL, &often, NULL));
    while (count < 2)
        ;
    EQUAL(got.si_signo, SIGVTALRM);
    OKAY(setitimer(ITIMER_VIRTUAL, &never, NULL));
    count = 0;
    OKAY(setitimer(ITIMER_PROF, &often, NULL));
    while (count < 2)
        ;
    EQUAL(got.si_signo, SIGPROF);
    OKAY(setitimer(ITIMER_PROF, &never, NULL));

    count = 0;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_int = 77;
    OKAY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec once = {.it_value = {0, 1000000}}, left;
    OKAY(timer_settime(timer, 0, &once, NULL));
    await_count(1);
    EQUAL(got.si_code, SI_TIMER);
    EQUAL(got.si_value.sival_int, 77);
    once.it_value.tv_sec = 500;
    OKAY(timer_settime(timer, 0, &once, NULL));
    OKAY(timer_gettime(timer, &left));
    CHECK(left.it_value.tv_sec > 400);
    OKAY(timer_delete(timer));

    /* Overruns are counted while the signal is blocked. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    OKAY(sigprocmask(SIG_BLOCK, &set, NULL));
    OKAY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec periodic = {{0, 1000000}, {0, 1000000}};
    OKAY(timer_settime(timer, 0, &periodic, NULL));
    pause_ms(30);
    siginfo_t info;
    EQUAL(OKAY(sigwaitinfo(&set, &info)), SIGRTMIN);
    EQUAL(info.si_code, SI_TIMER);
    CHECK(info.si_overrun > 5);
    CHECK(OKAY(timer_getoverrun(timer)) > 5);
    OKAY(timer_delete(timer));
    FAILS(timer_create(9999, &event, &timer), EINVAL);

    count = 0;
    OKAY(sigprocmask(SIG_UNBLOCK, &set, NULL));
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    OKAY(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
    once.it_value = (struct timespec){0, 1000000};
    OKAY(timer_settime(timer, 0, &once, NULL));
    while (count == 0)
        ;
    OKAY(timer_delete(timer));

    event = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = by_thread};
    event.sigev_value.sival_int = 5;
    OKAY(timer_create(CLOCK_REALTIME, &event, &timer));
    OKAY(timer_settime(timer, 0, &once, NULL));
    while (called != 5)
        pause_ms(1);
    OKAY(timer_delete(timer));
    return ok("signal_timers");
}
