/* Threads and processes beside one that reads a file from front to end: they see its position as
 * soon as they can know that it has moved, and each piece is read once. */
#include "ahead.h"

#define PIECES 64
#define BYTES ((long)PIECES * PIECE)
#define THREADS 4

static int fd, to_thread[2], to_main[2];
static int seen[PIECES];

static int opened(void) { return (int)OKAY(open("file", O_RDONLY)); }

static long where(void) { return OKAY(lseek(fd, 0, SEEK_CUR)); }

/* Reads pieces wherever the others have left the position. */
static void *take(void *unused)
{
    char *data = malloc(PIECE);
    CHECK(data != NULL);
    for (;;) {
        ssize_t n = read(fd, data, PIECE);
        if (n == 0)
            break;
        EQUAL(n, PIECE);
        uint32_t word;
        memcpy(&word, data, sizeof word);
        int piece = 0;
        while (piece < PIECES && word_at((long)piece * PIECE, 0) != word)
            piece++;
        CHECK(piece < PIECES);
        is_pattern(data, (long)piece * PIECE, PIECE, 0);
        EQUAL(__atomic_add_fetch(&seen[piece], 1, __ATOMIC_SEQ_CST), 1);
    }
    free(data);
    return unused;
}

/* Reads on when told, and waits in between, where nobody wakes it by chance. */
static void *read_on_demand(void *unused)
{
    for (int i = 0; i < 4; i++) {
        STREAMS(fd, 8, (long)i * 8 * PIECE);
        tell(to_main[1]);
        await(to_thread[0]);
    }
    return unused;
}

static void *read_and_end(void *unused)
{
    STREAMS(fd, 8, 0);
    return unused;
}

static void *read_and_close(void *unused)
{
    STREAMS(fd, 8, 0);
    tell(to_main[1]);
    await(to_thread[0]);
    FAILS(read(fd, ahead_data, PIECE), EBADF);
    return unused;
}

/* Reads to the end, again and again, while others look. */
static int done;
static void *read_all_day(void *unused)
{
    for (int i = 0; i < 20; i++) {
        EQUAL(OKAY(lseek(fd, 0, SEEK_SET)), 0);
        STREAMS(fd, PIECES, 0);
    }
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS], thread;
    OKAY(pipe(to_thread));
    OKAY(pipe(to_main));
    make_pattern("file", BYTES, 0);

    /* All read at once. */
    fd = opened();
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, take, NULL));
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));
    for (int i = 0; i < PIECES; i++)
        EQUAL(seen[i], 1);
    EQUAL(where(), BYTES);
    OKAY(close(fd));

    /* One reads, the other looks, and moves the position back; the reader waits meanwhile. */
    fd = opened();
    ZERO(pthread_create(&thread, NULL, read_on_demand, NULL));
    for (int i = 0; i < 4; i++) {
        await(to_main[0]);
        EQUAL(where(), (i + 1) * 8 * PIECE);
        EQUAL(shown_position(getpid(), fd), (i + 1) * 8 * PIECE);
        EQUAL(OKAY(lseek(fd, 0, SEEK_SET)), 0);
        READS(fd, PIECE, 0);
        EQUAL(OKAY(lseek(fd, (i + 1) * 8 * PIECE, SEEK_SET)), (i + 1) * 8 * PIECE);
        tell(to_thread[1]);
    }
    ZERO(pthread_join(thread, NULL));
    OKAY(close(fd));

    /* The reader has ended. */
    for (int i = 0; i < 5; i++) {
        fd = opened();
        ZERO(pthread_create(&thread, NULL, read_and_end, NULL));
        ZERO(pthread_join(thread, NULL));
        EQUAL(where(), 8 * PIECE);
        STREAMS(fd, 8, 8L * PIECE);
        OKAY(close(fd));
    }

    /* The descriptor is closed while its reader waits for something else; forks do not wait either. */
    fd = opened();
    ZERO(pthread_create(&thread, NULL, read_and_close, NULL));
    await(to_main[0]);
    EXITS(CHILD(EQUAL(where(), 8 * PIECE)), 0);
    OKAY(close(fd));
    /* Nobody has it open any more. */
    int writer = (int)OKAY(open("file", O_WRONLY | O_NONBLOCK));
    OKAY(close(writer));
    tell(to_thread[1]);
    ZERO(pthread_join(thread, NULL));

    /* The position never stands between two pieces, and only rewinding moves it back. */
    fd = opened();
    ZERO(pthread_create(&thread, NULL, read_all_day, NULL));
    while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST))
        EQUAL(shown_position(getpid(), fd) % PIECE, 0);
    ZERO(pthread_join(thread, NULL));
    OKAY(close(fd));

    /* A process that is told by the reader. */
    fd = opened();
    pid_t reader = getpid();
    pid_t child = CHILD({
        for (int i = 0; i < 20; i++) {
            await(to_thread[0]);
            EQUAL(shown_position(reader, fd + 1), (i + 1) * 3 * PIECE);
            tell(to_main[1]);
        }
    });
    EQUAL(opened(), fd + 1);
    for (int i = 0; i < 20; i++) {
        STREAMS(fd + 1, 3, (long)i * 3 * PIECE);
        tell(to_thread[1]);
        await(to_main[0]);
    }
    EXITS(child, 0);
    return ok("ahead_threads");
}
