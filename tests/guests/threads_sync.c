/* 50 threads with a mutex, condition variables, a barrier, a read-write lock, TLS and keys. */
#include "guest.h"
#include <semaphore.h>

#define THREADS 50
#define ROUNDS 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static sem_t semaphore;
static __thread long mine = 1;
static long counter, turn, written, made_once, destroyed;

static void make_once(void) { made_once++; }

static void destroy(void *value)
{
    pthread_mutex_lock(&mutex);
    destroyed += (long)value;
    pthread_mutex_unlock(&mutex);
}

static void *work(void *number)
{
    long me = (long)number;
    ZERO(pthread_once(&once, make_once));
    ZERO(pthread_setspecific(key, (void *)1));
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        ZERO(pthread_mutex_lock(&mutex));
        counter++;
        mine += me;
        ZERO(pthread_mutex_unlock(&mutex));
        if (i % 50 == 0) {
            ZERO(pthread_rwlock_wrlock(&lock));
            written++;
            ZERO(pthread_rwlock_unlock(&lock));
        } else {
            ZERO(pthread_rwlock_rdlock(&lock));
            CHECK(written <= THREADS * ROUNDS / 50);
            ZERO(pthread_rwlock_unlock(&lock));
        }
    }
    EQUAL(mine, 1 + me * ROUNDS);
    /* Everyone in turn. */
    ZERO(pthread_mutex_lock(&mutex));
    while (turn != me)
        ZERO(pthread_cond_wait(&changed, &mutex));
    turn++;
    ZERO(pthread_cond_broadcast(&changed));
    ZERO(pthread_mutex_unlock(&mutex));
    OKAY(sem_post(&semaphore));
    return (void *)(me * 2);
}

int main(void)
{
    pthread_t threads[THREADS];
    ZERO(pthread_barrier_init(&barrier, NULL, THREADS));
    ZERO(pthread_key_create(&key, destroy));
    OKAY(sem_init(&semaphore, 0, 0));
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, work, (void *)i));
    for (int i = 0; i < THREADS; i++)
        OKAY(sem_wait(&semaphore));
    for (long i = 0; i < THREADS; i++) {
        void *result;
        ZERO(pthread_join(threads[i], &result));
        EQUAL(result, i * 2);
    }
    EQUAL(counter, THREADS * ROUNDS);
    EQUAL(written, THREADS * ROUNDS / 50);
    EQUAL(turn, THREADS);
    EQUAL(made_once, 1);
    EQUAL(destroyed, THREADS);
    EQUAL(mine, 1);

    struct timespec soon;
    OKAY(clock_gettime(CLOCK_REALTIME, &soon));
    soon.tv_sec += 1;
    ZERO(pthread_mutex_lock(&mutex));
    EQUAL(pthread_cond_timedwait(&changed, &mutex, &soon), ETIMEDOUT);
    ZERO(pthread_mutex_unlock(&mutex));
    return ok("threads_sync");
}
