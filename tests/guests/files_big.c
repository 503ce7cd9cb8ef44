/* 64 MiB written and read in pieces of odd sizes; positions beyond 4 GiB. */
#include "guest.h"

#define SIZE (64u << 20)

static unsigned char byte_at(size_t i) { return (unsigned char)((i >> 12) * 31 + i); }

int main(void)
{
    size_t piece = (1 << 20) + 13;
    unsigned char *buffer = malloc(piece);
    int fd = (int)OKAY(open("big", O_RDWR | O_CREAT, 0644));
    for (size_t at = 0; at < SIZE;) {
        size_t n = SIZE - at < piece ? SIZE - at : piece;
        for (size_t i = 0; i < n; i++)
            buffer[i] = byte_at(at + i);
        EQUAL(OKAY(write(fd, buffer, n)), n);
        at += n;
    }
    OKAY(lseek(fd, 0, SEEK_SET));
    for (size_t at = 0; at < SIZE;) {
        size_t want = 1 + at % piece;
        long n = OKAY(read(fd, buffer, want));
        EQUAL(n, SIZE - at < want ? SIZE - at : want);
        for (long i = 0; i < n; i++)
            if (buffer[i] != byte_at(at + (size_t)i))
                EQUAL(buffer[i], byte_at(at + (size_t)i));
        at += (size_t)n;
        if (at < SIZE / 2)
            OKAY(lseek(fd, (off_t)(at = SIZE / 2), SEEK_SET));
    }
    /* One read of everything. */
    unsigned char *all = malloc(SIZE);
    EQUAL(OKAY(pread(fd, all, SIZE, 0)), SIZE);
    for (size_t i = 0; i < SIZE; i += 509)
        if (all[i] != byte_at(i))
            EQUAL(all[i], byte_at(i));
    EQUAL(OKAY(pwrite(fd, all, SIZE, 0)), SIZE);

    off_t far = (5ll << 30) + 7;
    EQUAL(OKAY(pwrite(fd, "far", 3, far)), 3);
    EQUAL(lseek(fd, 0, SEEK_END), far + 3);
    EQUAL(OKAY(pread(fd, buffer, 10, far)), 3);
    CHECK(memcmp(buffer, "far", 3) == 0);
    OKAY(unlink("big"));
    return ok("files_big");
}
