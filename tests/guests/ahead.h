/* Files whose content tells where it is, read from front to end: what may be sent ahead. */
#ifndef AHEAD_H
#define AHEAD_H

#include "guest.h"

#define PIECE (64 * 1024)

/* The word at byte `offset` of a file of this kind. */
static uint32_t word_at(long offset, uint32_t kind) { return (uint32_t)(offset / 4) * 2654435761u ^ kind; }

/* Fills `bytes` of the file behind `fd`, from `offset` on. */
__attribute__((unused)) static void put_pattern(int fd, long offset, long bytes, uint32_t kind)
{
    static uint32_t words[PIECE / 4];
    while (bytes > 0) {
        long part = bytes < PIECE ? bytes : PIECE;
        for (long i = 0; i < part / 4; i++)
            words[i] = word_at(offset + i * 4, kind);
        EQUAL(OKAY(pwrite(fd, words, (size_t)part, offset)), part);
        offset += part;
        bytes -= part;
    }
}

/* Makes (or replaces) a file of `bytes`, a multiple of 4. */
__attribute__((unused)) static void make_pattern(const char *path, long bytes, uint32_t kind)
{
    int fd = (int)OKAY(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    put_pattern(fd, 0, bytes, kind);
    OKAY(close(fd));
}

/* What was read at `offset` is the file's content. */
__attribute__((unused)) static void is_pattern(const char *data, long offset, long bytes, uint32_t kind)
{
    for (long i = 0; i < bytes; i++) {
        uint32_t word = word_at((offset + i) & ~3L, kind);
        char byte = ((char *)&word)[(offset + i) & 3];
        if (data[i] != byte)
            guest_failed(__FILE_NAME__, __LINE__, "byte %ld is %d, not %d", offset + i, data[i], byte);
    }
}

static char ahead_data[4 << 20];

/* One read of `bytes` at position `offset` gives all of them, with this content. */
#define READS_KIND(fd, bytes, offset, kind) \
    do { \
        EQUAL(OKAY(read((fd), ahead_data, (bytes))), (bytes)); \
        is_pattern(ahead_data, (offset), (bytes), (kind)); \
    } while (0)
#define READS(fd, bytes, offset) READS_KIND(fd, bytes, offset, 0)

/* Reads `pieces` pieces from `offset` on, enough of them to be sent more. */
#define STREAMS(fd, pieces, offset) \
    do { \
        for (long piece_ = 0; piece_ < (pieces); piece_++) \
            READS(fd, PIECE, (offset) + piece_ * PIECE); \
    } while (0)

/* The position of a descriptor as /proc shows it. */
__attribute__((unused)) static long shown_position(pid_t pid, int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", pid, fd);
    long position = -1;
    EQUAL(sscanf(file_text(path), "pos: %ld", &position), 1);
    return position;
}

#endif
