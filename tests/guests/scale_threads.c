/* Two hundred threads at once, each with calls of its own that wait, and all of them together. */
#include "guest.h"

#define THREADS 200
#define ROUNDS 5

static pthread_barrier_t all;
static int pipes[THREADS][2];
static int file;
static int answers[THREADS];

static void *work(void *arg)
{
    long me = (long)arg;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    CHECK(tid > 1 && (me == -1 || tid != getpid()));
    for (int i = 0; i < ROUNDS; i++) {
        char byte = (char)(me + i);
        EQUAL(OKAY(pwrite(file, &byte, 1, me * ROUNDS + i)), 1);
        /* The neighbour writes, this thread waits for it. */
        EQUAL(OKAY(write(pipes[(me + 1) % THREADS][1], &byte, 1)), 1);
        EQUAL(read_all(pipes[me][0], &byte, 1), 1);
        EQUAL(byte, (char)((me + THREADS - 1) % THREADS + i));
    }
    int ended = pthread_barrier_wait(&all);
    CHECK(ended == 0 || ended == PTHREAD_BARRIER_SERIAL_THREAD);
    answers[me]++;
    return (void *)(long)tid;
}

int main(void)
{
    file = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    ZERO(pthread_barrier_init(&all, NULL, THREADS));
    pthread_attr_t small;
    ZERO(pthread_attr_init(&small));
    ZERO(pthread_attr_setstacksize(&small, 64 * 1024));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        OKAY(pipe(pipes[i]));
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], &small, work, (void *)i));
    long tids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        void *tid;
        ZERO(pthread_join(threads[i], &tid));
        tids[i] = (long)tid;
        for (int j = 0; j < i; j++)
            CHECK(tids[j] != tids[i]);
        EQUAL(answers[i], 1);
    }
    for (int i = 0; i < THREADS * ROUNDS; i++) {
        char byte;
        EQUAL(OKAY(pread(file, &byte, 1, i)), 1);
        EQUAL(byte, (char)(i / ROUNDS + i % ROUNDS));
    }
    OKAY(unlink("file"));
    return ok("scale_threads");
}
