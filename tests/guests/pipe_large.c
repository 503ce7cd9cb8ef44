/* One write of 1 MiB into a pipe comes back whole, and its reader gets every byte, at any pace. */
#include "guest.h"

#define SIZE (1 << 20)

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + (i >> 10)); }

static void read_in_pieces(int fd, size_t piece, bool slowly)
{
    unsigned char *buffer = malloc(piece);
    size_t at = 0;
    for (;;) {
        long n = OKAY(read(fd, buffer, piece));
        if (n == 0)
            break;
        for (long i = 0; i < n; i++, at++)
            if (buffer[i] != byte_at(at))
                EQUAL(buffer[i], byte_at(at));
        if (slowly)
            pause_ms(1);
    }
    EQUAL(at, SIZE);
}

int main(void)
{
    static const size_t pieces[] = {1000, 4096, 65536, SIZE};
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = byte_at(i);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        int ends[2];
        OKAY(pipe(ends));
        pid_t child = CHILD({
            OKAY(close(ends[1]));
            read_in_pieces(ends[0], pieces[i], i == 1);
        });
        OKAY(close(ends[0]));
        EQUAL(OKAY(write(ends[1], data, SIZE)), SIZE);
        OKAY(close(ends[1]));
        EXITS(child, 0);

        /* And the other way: the child writes. */
        OKAY(pipe(ends));
        child = CHILD({
            OKAY(close(ends[0]));
            struct iovec parts[2] = {{data, 100}, {data + 100, SIZE - 100}};
            EQUAL(OKAY(writev(ends[1], parts, 2)), SIZE);
        });
        OKAY(close(ends[1]));
        read_in_pieces(ends[0], pieces[i], i == 2);
        OKAY(close(ends[0]));
        EXITS(child, 0);
    }
    return ok("pipe_large");
}
