/* pthread_cancel of threads blocked in calls, cleanup handlers, deferred and asynchronous. */
#include "guest.h"

static int ends[2];
static volatile int cleaned;

static void clean(void *how_much) { __atomic_add_fetch(&cleaned, (int)(long)how_much, __ATOMIC_SEQ_CST); }

static void *blocked_read(void *nothing)
{
    char byte;
    pthread_cleanup_push(clean, (void *)1);
    (void)!read(ends[0], &byte, 1);
    pthread_cleanup_pop(0);
    return nothing;
}

static void *blocked_sleep(void *nothing)
{
    pthread_cleanup_push(clean, (void *)10);
    for (;;)
        sleep(1000);
    pthread_cleanup_pop(0);
    return nothing;
}

static void unlock(void *mutex) { pthread_mutex_unlock(mutex); }

static void *blocked_condition(void *nothing)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, &mutex);
    pthread_cleanup_push(clean, (void *)100);
    for (;;)
        pthread_cond_wait(&never, &mutex);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return nothing;
}

static void *blocked_poll(void *nothing)
{
    pthread_cleanup_push(clean, (void *)1000);
    struct pollfd one = {.fd = ends[0], .events = POLLIN};
    poll(&one, 1, -1);
    pthread_cleanup_pop(0);
    return nothing;
}

static void *spinning(void *nothing)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        ;
    return nothing;
}

static void *refusing(void *up)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    await(ends[0]);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return up;
}

int main(void)
{
    static void *(*const blocked[])(void *) = {blocked_read, blocked_sleep, blocked_condition, blocked_poll, spinning};
    OKAY(pipe(ends));
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++) {
            pthread_t thread;
            void *result = NULL;
            ZERO(pthread_create(&thread, NULL, blocked[i], NULL));
            pause_ms(round * 3);
            ZERO(pthread_cancel(thread));
            ZERO(pthread_join(thread, &result));
            CHECK(result == PTHREAD_CANCELED);
        }
        /* No byte is eaten by a read that was cancelled. */
        write_all(ends[1], "?", 1);
        char byte;
        EQUAL(read(ends[0], &byte, 1), 1);
    }
    CHECK(cleaned % 10 <= 5 && cleaned >= 1111);

    pthread_t thread;
    void *result;
    ZERO(pthread_create(&thread, NULL, refusing, ends));
    ZERO(pthread_cancel(thread));
    pause_ms(10);
    tell(ends[1]);
    ZERO(pthread_join(thread, &result));
    CHECK(result == ends || result == PTHREAD_CANCELED);
    return ok("threads_cancel");
}
