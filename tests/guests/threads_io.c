/* Threads in system calls at the same time: own files, one pipe, a ring of pipes, shared position. */
#include "guest.h"

#define THREADS 50
#define ROUNDS 40

static int ring[THREADS][2], log_fd, results[2];

static void *own_file(void *argument)
{
    char name[32], text[64], back[64];
    long me = (long)argument;
    snprintf(name, sizeof name, "own-%02ld", me);
    int fd = (int)OKAY(open(name, O_RDWR | O_CREAT, 0600));
    for (int i = 0; i < ROUNDS; i++) {
        int n = snprintf(text, sizeof text, "%ld wrote line %d\n", me, i);
        EQUAL(OKAY(write(fd, text, (size_t)n)), n);
        EQUAL(OKAY(pread(fd, back, (size_t)n, lseek(fd, 0, SEEK_CUR) - n)), n);
        CHECK(memcmp(text, back, (size_t)n) == 0);
        EQUAL(OKAY(write(log_fd, "0123456789abcde\n", 16)), 16);
    }
    OKAY(close(fd));
    return NULL;
}

static void *pass_on(void *argument)
{
    long me = (long)argument;
    for (int i = 0; i < ROUNDS; i++) {
        int token;
        EQUAL(read_all(ring[me][0], &token, sizeof token), sizeof token);
        token++;
        write_all(me == THREADS - 1 ? results[1] : ring[me + 1][1], &token, sizeof token);
    }
    return NULL;
}

static void *try_read(void *argument)
{
    char byte;
    EQUAL(OKAY(read(((int *)argument)[0], &byte, 1)), 1);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    log_fd = (int)OKAY(open("log", O_RDWR | O_CREAT | O_APPEND, 0600));
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, own_file, (void *)i));
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));
    struct stat st;
    OKAY(fstat(log_fd, &st));
    EQUAL(st.st_size, THREADS * ROUNDS * 16);

    OKAY(pipe(results));
    for (int i = 0; i < THREADS; i++)
        OKAY(pipe(ring[i]));
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, pass_on, (void *)i));
    for (int i = 0; i < ROUNDS; i++) {
        int token = i * 1000;
        write_all(ring[0][1], &token, sizeof token);
        EQUAL(read_all(results[0], &token, sizeof token), sizeof token);
        EQUAL(token, i * 1000 + THREADS);
    }
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));

    /* Many wait in read for one pipe; each byte wakes one of them. */
    for (long i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, try_read, ring[0]));
    pause_ms(20);
    for (int i = 0; i < THREADS; i++)
        tell(ring[0][1]);
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));

    /* The shared position of one descriptor: every record is read once. */
    OKAY(lseek(log_fd, 0, SEEK_SET));
    char record[16];
    int records = 0;
    while (OKAY(read(log_fd, record, sizeof record)) == 16)
        records += memcmp(record, "0123456789abcde\n", 16) == 0;
    EQUAL(records, THREADS * ROUNDS);
    return ok("threads_io");
}
