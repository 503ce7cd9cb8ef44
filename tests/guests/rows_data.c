/* Calls on a file's content: allocation, copies in the kernel, vectors with flags, advice, syncing. */
#include "shown.h"
#include <linux/falloc.h>
#include <linux/fs.h>

#define PAGE 4096
#define PLAIN_FD 3
#define OTHER_FD 4
#define READER_FD 5
#define WRITER_FD 6
#define CLOSED_FD 50

static void show_size(void)
{
    struct stat stat_;
    OKAY(fstat(PLAIN_FD, &stat_));
    SHOW(stat_.st_size);
}

static void allocation(void)
{
    static const int modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0x80,
        0x10000,
    };
    char byte[2] = {0};
    for (size_t at = 0; at < sizeof modes / sizeof *modes; at++) {
        OKAY(ftruncate(PLAIN_FD, 0));
        OKAY(pwrite(PLAIN_FD, "start", 5, 0));
        OKAY(pwrite(PLAIN_FD, "far", 3, 3 * PAGE));
        printf("mode %#x: ", modes[at]);
        TRY(fallocate, PLAIN_FD, modes[at], PAGE, PAGE);
        show_size();
        printf("mode %#x: ", modes[at]);
        TRY(fallocate, PLAIN_FD, modes[at], 0, 100);
        EQUAL(pread(PLAIN_FD, byte, 1, 0), 1);
        SHOW(byte[0]);
    }
    TRY(fallocate, PLAIN_FD, 0, -1L, 10);
    TRY(fallocate, PLAIN_FD, 0, 0, 0);
    TRY(fallocate, PLAIN_FD, 0, INT64_MAX, 10);
    TRY(fallocate, READER_FD, 0, 0, 10);
    TRY(fallocate, CLOSED_FD, 0, 0, 10);
    TRY(ftruncate, PLAIN_FD, -1L);
    TRY(truncate, "plain", -1L);
    TRY(truncate, ".", 0);
    TRY(lseek, PLAIN_FD, 0, SEEK_HOLE);
    TRY(lseek, PLAIN_FD, 1L << 40, SEEK_DATA);
    TRY(lseek, PLAIN_FD, 0, 9);
    TRY(lseek, READER_FD, 0, SEEK_SET);
}

static void copies(void)
{
    int64_t from = 0, to = 3;
    char text[32] = {0};
    OKAY(ftruncate(PLAIN_FD, 0));
    OKAY(pwrite(PLAIN_FD, "0123456789", 10, 0));
    OKAY(lseek(PLAIN_FD, 0, SEEK_SET));
    TRY(copy_file_range, PLAIN_FD, &from, OTHER_FD, &to, 4, 0);
    SHOW(from);
    SHOW(to);
    TRY(copy_file_range, PLAIN_FD, NULL, OTHER_FD, NULL, 100, 0);
    OKAY(pread(OTHER_FD, text, sizeof text, 0));
    show_bytes("copy", text, sizeof text);
    TRY(copy_file_range, PLAIN_FD, WILD, OTHER_FD, NULL, 4, 0);
    TRY(copy_file_range, PLAIN_FD, NULL, OTHER_FD, NULL, 4, 1);
    TRY(copy_file_range, PLAIN_FD, NULL, WRITER_FD, NULL, 4, 0);
    from = -1;
    TRY(copy_file_range, PLAIN_FD, &from, OTHER_FD, NULL, 4, 0);
    from = 0, to = 2;
    TRY(copy_file_range, PLAIN_FD, &from, PLAIN_FD, &to, 4, 0);
    TRY(sendfile, WRITER_FD, PLAIN_FD, &from, 4);
    SHOW(from);
    TRY(sendfile, WRITER_FD, PLAIN_FD, WILD, 4);
    TRY(sendfile, OTHER_FD, READER_FD, NULL, 4);
    TRY(sendfile, CLOSED_FD, PLAIN_FD, NULL, 4);
    // What is in the pipe.
    TRY(read, READER_FD, text, sizeof text);
    from = 1, to = 0;
    TRY(splice, PLAIN_FD, &from, WRITER_FD, NULL, 5, SPLICE_F_MOVE);
    TRY(splice, READER_FD, NULL, OTHER_FD, &to, 2, SPLICE_F_MORE);
    SHOW(from);
    SHOW(to);
    TRY(splice, PLAIN_FD, NULL, OTHER_FD, NULL, 5, 0);
    TRY(splice, READER_FD, &from, OTHER_FD, NULL, 5, 0);
    TRY(splice, PLAIN_FD, WILD, WRITER_FD, NULL, 5, 0);
    TRY(splice, PLAIN_FD, NULL, WRITER_FD, NULL, 5, 0x100);
    int pipe_[2];
    OKAY(pipe(pipe_));
    TRY(tee, READER_FD, pipe_[1], 100, 0);
    TRY(tee, READER_FD, pipe_[1], 100, 0x100);
    TRY(tee, READER_FD, WRITER_FD, 100, SPLICE_F_NONBLOCK);
    TRY(tee, PLAIN_FD, pipe_[1], 100, 0);
    TRY(tee, pipe_[0], WRITER_FD, 0, 0);
    struct iovec given[2] = {{"vector", 6}, {"s", 1}}, wild = {WILD, 5}, none[1] = {{NULL, 0}};
    TRY(vmsplice, pipe_[1], given, 2, 0);
    TRY(vmsplice, pipe_[1], given, 2, SPLICE_F_NONBLOCK | SPLICE_F_GIFT);
    TRY(vmsplice, pipe_[1], &wild, 1, 0);
    TRY(vmsplice, pipe_[1], WILD, 1, 0);
    TRY(vmsplice, pipe_[1], none, 1, 0);
    TRY(vmsplice, pipe_[1], given, 2000, 0);
    TRY(vmsplice, PLAIN_FD, given, 2, 0);
    TRY(vmsplice, pipe_[1], given, 2, 0x100);
    memset(text, 0, sizeof text);
    TRY(read, pipe_[0], text, sizeof text);
    show_bytes("pipe", text, sizeof text);
    OKAY(write(pipe_[1], "readable", 8));
    struct iovec taken = {text, 4};
    TRY(vmsplice, pipe_[0], &taken, 1, 0);
    show_bytes("taken", text, 4);
    TRY(read, READER_FD, text, sizeof text);
    OKAY(close(pipe_[0]));
    OKAY(close(pipe_[1]));
}

static void vectors(void)
{
    char text[16] = {0};
    struct iovec in[2] = {{text, 3}, {text + 8, 3}}, out[2] = {{"abc", 3}, {"defg", 4}};
    static const int flags[] = {0,          RWF_HIPRI,  RWF_DSYNC,  RWF_SYNC, RWF_APPEND,
                                0x20, 0x40, 0x80, 0x100, 0x8000};
    for (size_t at = 0; at < sizeof flags / sizeof *flags; at++) {
        // Whether the content is in the cache is nobody's promise.
        if (flags[at] == RWF_NOWAIT)
            continue;
        printf("flags %#x: ", flags[at]);
        TRY(pwritev2, PLAIN_FD, out, 2, 0, 0, flags[at]);
        printf("flags %#x: ", flags[at]);
        TRY(preadv2, PLAIN_FD, in, 2, 1, 0, flags[at]);
        show_bytes("read", text, sizeof text);
    }
    show_size();
    TRY(lseek, PLAIN_FD, 2, SEEK_SET);
    TRY(preadv2, PLAIN_FD, in, 2, -1L, -1L, 0);
    TRY(pwritev2, PLAIN_FD, out, 2, -1L, -1L, 0);
    TRY(preadv2, PLAIN_FD, in, 2, -2L, -1L, 0);
    TRY(preadv, PLAIN_FD, in, 2, -1L, 0);
    TRY(preadv, PLAIN_FD, in, -1, 0, 0);
    TRY(pwritev, PLAIN_FD, out, 1025, 0, 0);
    TRY(preadv, READER_FD, in, 2, 0, 0);
    TRY(preadv2, READER_FD, in, 2, -1L, -1L, RWF_NOWAIT);
    TRY(pwritev, CLOSED_FD, out, 2, 0, 0);
    struct iovec negative = {text, -1UL};
    TRY(readv, PLAIN_FD, &negative, 1);
    TRY(pread64, PLAIN_FD, text, 4, -1L);
    TRY(pwrite64, PLAIN_FD, "a", 1, -1L);
    TRY(pread64, READER_FD, text, 4, 0);
}

static void advice(void)
{
    for (int kind = 0; kind <= 6; kind++) {
        printf("advice %d: ", kind);
        TRY(fadvise64, PLAIN_FD, 0, 0, kind);
    }
    TRY(fadvise64, PLAIN_FD, 0, -1L, POSIX_FADV_NORMAL);
    TRY(fadvise64, READER_FD, 0, 0, POSIX_FADV_NORMAL);
    TRY(fadvise64, CLOSED_FD, 0, 0, POSIX_FADV_NORMAL);
    TRY(readahead, PLAIN_FD, 0, PAGE);
    TRY(readahead, READER_FD, 0, PAGE);
    TRY(readahead, CLOSED_FD, 0, PAGE);
    uint64_t range[2] = {0, 0}, state[5];
    TRY(cachestat, PLAIN_FD, range, state, 0);
    TRY(cachestat, PLAIN_FD, range, state, 1);
    TRY(cachestat, PLAIN_FD, WILD, state, 0);
    TRY(cachestat, PLAIN_FD, range, WILD, 0);
    TRY(cachestat, CLOSED_FD, range, state, 0);
}

static void syncing(void)
{
    TRY(fsync, PLAIN_FD);
    TRY(fdatasync, PLAIN_FD);
    TRY(fsync, READER_FD);
    TRY(fdatasync, CLOSED_FD);
    TRY(syncfs, PLAIN_FD);
    TRY(syncfs, CLOSED_FD);
    TRY(sync_file_range, PLAIN_FD, 0, 0, 7);
    TRY(sync_file_range, PLAIN_FD, 0, 0, 8);
    TRY(sync_file_range, PLAIN_FD, -1L, 0, 7);
    TRY(sync_file_range, READER_FD, 0, 0, 7);
    TRY(sync);
}

static void locking(void)
{
    int same = (int)OKAY(open("plain", O_RDWR));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    TRY(flock, PLAIN_FD, LOCK_EX);
    TRY(flock, same, LOCK_SH | LOCK_NB);
    TRY(flock, PLAIN_FD, LOCK_SH);
    TRY(flock, same, LOCK_SH | LOCK_NB);
    TRY(flock, PLAIN_FD, LOCK_UN);
    TRY(flock, PLAIN_FD, 77);
    TRY(flock, CLOSED_FD, LOCK_SH);
    TRY(fcntl, PLAIN_FD, F_OFD_SETLK, &whole);
    TRY(fcntl, same, F_OFD_SETLK, &whole);
    TRY(fcntl, same, F_OFD_GETLK, &whole);
    SHOW(whole.l_type);
    SHOW(whole.l_pid);
    whole = (struct flock){.l_type = F_UNLCK};
    TRY(fcntl, PLAIN_FD, F_OFD_SETLKW, &whole);
    whole = (struct flock){.l_type = F_WRLCK, .l_pid = 1};
    TRY(fcntl, PLAIN_FD, F_OFD_SETLK, &whole);
    whole = (struct flock){.l_type = 9};
    TRY(fcntl, PLAIN_FD, F_SETLK, &whole);
    whole = (struct flock){.l_type = F_WRLCK, .l_start = -10};
    TRY(fcntl, PLAIN_FD, F_SETLK, &whole);
    TRY(fcntl, PLAIN_FD, F_SETLK, WILD);
    TRY(fcntl, PLAIN_FD, F_GETLK, &(struct flock){.l_type = F_UNLCK});
    OKAY(close(same));
}

int main(void)
{
    int pipe_[2];
    EQUAL(open("plain", O_RDWR | O_CREAT | O_EXCL, 0600), PLAIN_FD);
    EQUAL(open("other", O_RDWR | O_CREAT | O_EXCL, 0600), OTHER_FD);
    OKAY(pipe(pipe_));
    EQUAL(pipe_[1], WRITER_FD);
    allocation();
    copies();
    vectors();
    advice();
    syncing();
    locking();
    OKAY(unlink("plain"));
    OKAY(unlink("other"));
    return ok("rows_data");
}
