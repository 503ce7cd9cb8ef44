/* A file that is read from front to end is written, cut, replaced and locked meanwhile: each read
 * gives what the file holds then. */
#include "ahead.h"
#include <sys/file.h>

#define BYTES (64L * PIECE)

static int opened(void) { return (int)OKAY(open("file", O_RDONLY)); }

/* Another process that changes the file when told; it is there before the file is opened. */
static int go[2];
static pid_t changer;

static void prepare(void (*change)(void))
{
    OKAY(pipe(go));
    changer = CHILD({
        await(go[0]);
        change();
    });
}

static void elsewhere(void (*unused)(void))
{
    (void)unused;
    tell(go[1]);
    EXITS(changer, 0);
    OKAY(close(go[0]));
    OKAY(close(go[1]));
}

static void here(void (*change)(void)) { change(); }

static void *call(void *change)
{
    ((void (*)(void))change)();
    return NULL;
}

static void in_thread(void (*change)(void))
{
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, call, (void *)change));
    ZERO(pthread_join(thread, NULL));
}

/* Reads a part, changes what comes next, reads on. */
static void changed(void (*how)(void (*)(void)), void (*change)(void), uint32_t kind)
{
    make_pattern("file", BYTES, 0);
    if (how == elsewhere)
        prepare(change);
    int fd = opened();
    STREAMS(fd, 8, 0);
    how(change);
    for (int i = 8; i < 24; i++)
        READS_KIND(fd, PIECE, (long)i * PIECE, kind);
    EQUAL(OKAY(lseek(fd, 0, SEEK_CUR)), 24 * PIECE);
    OKAY(close(fd));
}

static void write_next(void)
{
    int fd = (int)OKAY(open("file", O_WRONLY));
    put_pattern(fd, 8L * PIECE, 20 * PIECE, 5);
    OKAY(close(fd));
}

static void write_at_once(void)
{
    int fd = (int)OKAY(open("file", O_RDWR | O_NONBLOCK));
    put_pattern(fd, 8L * PIECE, 20 * PIECE, 6);
    OKAY(close(fd));
}

static void make_anew(void)
{
    int fd = (int)OKAY(creat("file", 0600));
    put_pattern(fd, 0, BYTES, 7);
    OKAY(close(fd));
}

static void cut(void) { OKAY(truncate("file", 8 * PIECE + 100)); }

static void cut_open(void)
{
    int fd = (int)OKAY(open("file", O_WRONLY));
    OKAY(ftruncate(fd, 8 * PIECE));
    put_pattern(fd, 8L * PIECE, 200, 9);
    OKAY(close(fd));
}

static void append(void)
{
    int fd = (int)OKAY(open("file", O_WRONLY | O_APPEND));
    write_all(fd, "and more", 8);
    OKAY(close(fd));
}

static void replace(void)
{
    make_pattern("new", BYTES, 8);
    OKAY(rename("new", "file"));
}

static void drop(void) { OKAY(unlink("file")); }

/* The same where the file gets shorter or longer: opens it and reads `pieces`. */
static int read_before(void (*change)(void), int pieces, int of)
{
    make_pattern("file", (long)of * PIECE, 0);
    prepare(change);
    int fd = opened();
    STREAMS(fd, pieces, 0);
    return fd;
}

static void shortened(void)
{
    int fd = read_before(cut, 8, 64);
    elsewhere(NULL);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 100);
    is_pattern(ahead_data, 8L * PIECE, 100, 0);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    OKAY(close(fd));

    fd = read_before(cut_open, 8, 64);
    elsewhere(NULL);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 200);
    is_pattern(ahead_data, 8L * PIECE, 200, 9);
    OKAY(close(fd));

    /* What is appended after the end has been seen. */
    fd = read_before(append, 12, 12);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    elsewhere(NULL);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 8);
    CHECK(memcmp(ahead_data, "and more", 8) == 0);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    OKAY(close(fd));

    /* And between the last full piece and the end. */
    fd = read_before(append, 12, 12);
    elsewhere(NULL);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 8);
    OKAY(close(fd));

    /* And inside a read. */
    fd = read_before(append, 11, 12);
    READS(fd, PIECE / 2, 11L * PIECE);
    elsewhere(NULL);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), PIECE / 2 + 8);
    OKAY(close(fd));
}

/* A writer that has the file open all the time, and writes before each read. */
static void in_turns(void)
{
    make_pattern("file", BYTES, 0);
    int to_writer[2], to_reader[2];
    OKAY(pipe(to_writer));
    OKAY(pipe(to_reader));
    pid_t writer = CHILD({
        for (int i = 0; i < 40; i++) {
            await(to_writer[0]);
            int fd = (int)OKAY(open("file", O_WRONLY));
            put_pattern(fd, (long)i * PIECE, PIECE, (uint32_t)(100 + i));
            OKAY(close(fd));
            tell(to_reader[1]);
        }
    });
    int fd = opened();
    for (int i = 0; i < 40; i++) {
        tell(to_writer[1]);
        await(to_reader[0]);
        READS_KIND(fd, PIECE, (long)i * PIECE, (uint32_t)(100 + i));
    }
    EXITS(writer, 0);
    OKAY(close(fd));
}

static void leases(void)
{
    make_pattern("file", BYTES, 0);
    int fd = opened();
    STREAMS(fd, 8, 0);
    EQUAL(OKAY(fcntl(fd, F_GETLEASE)), F_UNLCK);
    EQUAL(OKAY(fcntl(fd, F_GETOWN)), 0);
    EQUAL(OKAY(fcntl(fd, F_GETSIG)), 0);
    STREAMS(fd, 4, 8L * PIECE);
    /* Nobody else has it open. */
    OKAY(fcntl(fd, F_SETLEASE, F_WRLCK));
    EQUAL(OKAY(fcntl(fd, F_GETLEASE)), F_WRLCK);
    STREAMS(fd, 4, 12L * PIECE);
    EQUAL(OKAY(fcntl(fd, F_GETLEASE)), F_WRLCK);
    OKAY(fcntl(fd, F_SETLEASE, F_RDLCK));
    STREAMS(fd, 4, 16L * PIECE);
    OKAY(fcntl(fd, F_SETLEASE, F_UNLCK));
    OKAY(close(fd));
    /* Nor after a child that has read it. */
    EXITS(CHILD({
              int own = opened();
              STREAMS(own, 8, 0);
          }),
          0);
    fd = opened();
    OKAY(fcntl(fd, F_SETLEASE, F_WRLCK));
    OKAY(fcntl(fd, F_SETLEASE, F_UNLCK));
    OKAY(close(fd));
}

static void locks(void)
{
    make_pattern("file", BYTES, 0);
    int fd = opened();
    STREAMS(fd, 8, 0);
    OKAY(flock(fd, LOCK_EX));
    STREAMS(fd, 4, 8L * PIECE);
    EXITS(CHILD({
              int own = opened();
              FAILS(flock(own, LOCK_SH | LOCK_NB), EWOULDBLOCK);
          }),
          0);
    OKAY(close(fd));
    EXITS(CHILD({
              int own = opened();
              OKAY(flock(own, LOCK_EX | LOCK_NB));
          }),
          0);
    fd = opened();
    STREAMS(fd, 8, 0);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    OKAY(fcntl(fd, F_OFD_SETLK, &lock));
    STREAMS(fd, 4, 8L * PIECE);
    OKAY(close(fd));
}

static void maps(void)
{
    make_pattern("file", BYTES, 0);
    int fd = opened();
    STREAMS(fd, 8, 0);
    char *map = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED);
    is_pattern(map, 0, BYTES, 0);
    STREAMS(fd, 8, 8L * PIECE);
    OKAY(munmap(map, BYTES));
    OKAY(close(fd));
}

int main(void)
{
    changed(here, write_next, 5);
    changed(elsewhere, write_next, 5);
    changed(in_thread, write_next, 5);
    changed(here, write_at_once, 6);
    changed(elsewhere, write_at_once, 6);
    changed(elsewhere, make_anew, 7);
    changed(elsewhere, replace, 0);
    changed(elsewhere, drop, 0);
    shortened();
    in_turns();
    leases();
    locks();
    maps();
    return ok("ahead_written");
}
