/* futex used directly: wait, wake, timeout, requeue, bitset; robust list and its dead owner. */
#include "guest.h"
#include <linux/futex.h>

static int word, other, woken;

static long futex(int *at, int operation, int value, const struct timespec *timeout, int *at2, int value3)
{
    return syscall(SYS_futex, at, operation, value, timeout, at2, value3);
}

static void *waiter(void *nothing)
{
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return nothing;
}

static void *die_with_lock(void *mutex)
{
    ZERO(pthread_mutex_lock(mutex));
    return NULL;
}

int main(void)
{
    struct timespec soon = {0, 1000000};
    FAILS(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    FAILS(futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0), ETIMEDOUT);
    FAILS(futex((int *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    FAILS(futex(&word, 127, 0, NULL, NULL, 0), ENOSYS);
    EQUAL(OKAY(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0)), 0);
    EQUAL(OKAY(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 0)), 0);
    FAILS(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 7), EAGAIN);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);

    pthread_t threads[20];
    for (int i = 0; i < 20; i++)
        ZERO(pthread_create(&threads[i], NULL, waiter, NULL));
    pause_ms(10);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    CHECK(OKAY(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0)) <= 20);
    for (int i = 0; i < 20; i++)
        ZERO(pthread_join(threads[i], NULL));
    EQUAL(woken, 20);

    pthread_mutexattr_t attributes;
    pthread_mutex_t robust;
    ZERO(pthread_mutexattr_init(&attributes));
    ZERO(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    ZERO(pthread_mutex_init(&robust, &attributes));
    ZERO(pthread_create(&threads[0], NULL, die_with_lock, &robust));
    ZERO(pthread_join(threads[0], NULL));
    EQUAL(pthread_mutex_lock(&robust), EOWNERDEAD);
    ZERO(pthread_mutex_consistent(&robust));
    ZERO(pthread_mutex_unlock(&robust));

    pthread_mutex_t inheriting;
    ZERO(pthread_mutexattr_init(&attributes));
    ZERO(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
    ZERO(pthread_mutex_init(&inheriting, &attributes));
    ZERO(pthread_mutex_lock(&inheriting));
    EQUAL(pthread_mutex_trylock(&inheriting), EBUSY);
    ZERO(pthread_mutex_unlock(&inheriting));
    return ok("futex_raw");
}
