/* A file read from front to end: its position is right for whoever looks, after every read, and
 * whoever else can move it does. */
#include "ahead.h"
#include <sys/sendfile.h>

#define BYTES (64L * PIECE)

static int opened(void) { return (int)OKAY(open("file", O_RDONLY)); }

static long where(int fd) { return OKAY(lseek(fd, 0, SEEK_CUR)); }

static void seeks(void)
{
    int fd = opened();
    STREAMS(fd, 8, 0);
    EQUAL(where(fd), 8 * PIECE);
    STREAMS(fd, 4, 8 * PIECE);
    EQUAL(shown_position(getpid(), fd), 12 * PIECE);
    EQUAL(OKAY(lseek(fd, 3 * PIECE + 5, SEEK_SET)), 3 * PIECE + 5);
    READS(fd, PIECE, 3 * PIECE + 5);
    STREAMS(fd, 6, 4 * PIECE + 5);
    EQUAL(OKAY(lseek(fd, -PIECE, SEEK_CUR)), 9 * PIECE + 5);
    STREAMS(fd, 6, 9 * PIECE + 5);
    EQUAL(OKAY(lseek(fd, -4, SEEK_END)), BYTES - 4);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 4);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    OKAY(close(fd));
}

static void sizes(void)
{
    int fd = opened();
    long at = 0;
    STREAMS(fd, 4, 0);
    at = 4 * PIECE;
    static const int bytes[] = {1, 7, 100000, 4096, 300000, 1 << 20, 3, PIECE, 1500000, 65537};
    for (int i = 0; i < 10; i++) {
        READS(fd, bytes[i], at);
        at += bytes[i];
        if (i % 3 == 0)
            EQUAL(where(fd), at);
    }
    EQUAL(OKAY(read(fd, ahead_data, 0)), 0);
    struct iovec parts[] = {{ahead_data, 1000}, {ahead_data + 1000, 50000}};
    EQUAL(OKAY(readv(fd, parts, 2)), 51000);
    is_pattern(ahead_data, at, 51000, 0);
    EQUAL(OKAY(pread(fd, ahead_data, 5000, 12345)), 5000);
    is_pattern(ahead_data, 12345, 5000, 0);
    EQUAL(where(fd), at + 51000);
    OKAY(close(fd));
}

static void ends(void)
{
    /* Not a multiple of anything. */
    make_pattern("odd", 20L * PIECE + 1236, 0);
    int fd = (int)OKAY(open("odd", O_RDONLY));
    STREAMS(fd, 20, 0);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 1236);
    is_pattern(ahead_data, 20L * PIECE, 1236, 0);
    for (int i = 0; i < 3; i++)
        EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    EQUAL(where(fd), 20L * PIECE + 1236);
    int more = (int)OKAY(open("odd", O_WRONLY));
    put_pattern(more, 20L * PIECE + 1236, 5 * PIECE, 0);
    STREAMS(fd, 5, 20L * PIECE + 1236);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    OKAY(close(more));
    OKAY(close(fd));
    /* All of it at once, and more than there is. */
    fd = opened();
    EQUAL(OKAY(read(fd, ahead_data, BYTES - 5)), BYTES - 5);
    is_pattern(ahead_data, 0, BYTES - 5, 0);
    EQUAL(OKAY(read(fd, ahead_data, BYTES)), 5);
    EQUAL(OKAY(read(fd, ahead_data, BYTES)), 0);
    EQUAL(OKAY(lseek(fd, 1000000, SEEK_SET)), 1000000);
    EQUAL(OKAY(read(fd, ahead_data, BYTES)), BYTES - 1000000);
    is_pattern(ahead_data, 1000000, BYTES - 1000000, 0);
    EQUAL(where(fd), BYTES);
    OKAY(close(fd));
    /* Exactly so many pieces. */
    fd = opened();
    STREAMS(fd, 64, 0);
    EQUAL(OKAY(read(fd, ahead_data, PIECE)), 0);
    EQUAL(OKAY(lseek(fd, 0, SEEK_SET)), 0);
    STREAMS(fd, 64, 0);
    EQUAL(OKAY(read(fd, ahead_data, 1)), 0);
    OKAY(close(fd));
}

static void shares(void)
{
    int fd = opened();
    STREAMS(fd, 8, 0);
    int copy = (int)OKAY(dup(fd));
    for (int i = 8; i < 16; i += 2) {
        STREAMS(fd, 1, (long)i * PIECE);
        STREAMS(copy, 1, (long)(i + 1) * PIECE);
    }
    OKAY(close(copy));
    STREAMS(fd, 4, 16L * PIECE);
    copy = (int)OKAY(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    STREAMS(copy, 4, 20L * PIECE);
    EQUAL(where(fd), 24 * PIECE);
    OKAY(close(copy));
    OKAY(close(fd));

    /* A child moves the parent's position, and the parent the child's. */
    int to_child[2], to_parent[2];
    OKAY(pipe(to_child));
    OKAY(pipe(to_parent));
    fd = opened();
    STREAMS(fd, 8, 0);
    pid_t child = CHILD({
        STREAMS(fd, 4, 8L * PIECE);
        tell(to_parent[1]);
        await(to_child[0]);
        STREAMS(fd, 4, 16L * PIECE);
    });
    await(to_parent[0]);
    STREAMS(fd, 4, 12L * PIECE);
    tell(to_child[1]);
    EXITS(child, 0);
    STREAMS(fd, 4, 20L * PIECE);
    EQUAL(where(fd), 24 * PIECE);
    OKAY(close(fd));

    /* One that was passed through a socket. */
    int pair[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    fd = opened();
    STREAMS(fd, 8, 0);
    char byte = 'x';
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    EQUAL(OKAY(sendmsg(pair[0], &message, 0)), 1);
    STREAMS(fd, 4, 8L * PIECE);
    EQUAL(OKAY(recvmsg(pair[1], &message, 0)), 1);
    int passed;
    memcpy(&passed, CMSG_DATA(&control.head), sizeof passed);
    STREAMS(passed, 4, 12L * PIECE);
    STREAMS(fd, 4, 16L * PIECE);
    EQUAL(where(passed), 20 * PIECE);
    OKAY(close(passed));
    OKAY(close(fd));
}

static void replaces(void)
{
    make_pattern("other", BYTES, 77);
    int fd = opened();
    STREAMS(fd, 8, 0);
    OKAY(close(fd));
    EQUAL(OKAY(open("other", O_RDONLY)), fd);
    for (int i = 0; i < 8; i++)
        READS_KIND(fd, PIECE, (long)i * PIECE, 77);
    int more = opened();
    STREAMS(more, 6, 0);
    EQUAL(OKAY(dup2(more, fd)), fd);
    STREAMS(fd, 6, 6L * PIECE);
    EQUAL(where(more), 12 * PIECE);
    OKAY(close(more));
    STREAMS(fd, 6, 12L * PIECE);
    OKAY(close_range((unsigned)fd, (unsigned)fd, 0));
    FAILS(read(fd, ahead_data, PIECE), EBADF);
}

static void moves(void)
{
    int fd = opened();
    int out = (int)OKAY(open("out", O_RDWR | O_CREAT | O_TRUNC, 0600));
    int pipes[2];
    OKAY(pipe(pipes));
    STREAMS(fd, 8, 0);
    EQUAL(OKAY(sendfile(out, fd, NULL, PIECE)), PIECE);
    STREAMS(fd, 4, 9L * PIECE);
    EQUAL(OKAY(copy_file_range(fd, NULL, out, NULL, PIECE, 0)), PIECE);
    STREAMS(fd, 4, 14L * PIECE);
    EQUAL(OKAY(splice(fd, NULL, pipes[1], NULL, 4096, 0)), 4096);
    EQUAL(read_all(pipes[0], ahead_data, 4096), 4096);
    is_pattern(ahead_data, 18L * PIECE, 4096, 0);
    STREAMS(fd, 4, 18L * PIECE + 4096);
    off_t from = 5 * PIECE;
    EQUAL(OKAY(sendfile(out, fd, &from, PIECE)), PIECE);
    STREAMS(fd, 4, 22L * PIECE + 4096);
    EQUAL(OKAY(pread(out, ahead_data, 3 * PIECE, 0)), 3 * PIECE);
    is_pattern(ahead_data, 8L * PIECE, PIECE, 0);
    is_pattern(ahead_data + PIECE, 13L * PIECE, PIECE, 0);
    is_pattern(ahead_data + 2 * PIECE, 5L * PIECE, PIECE, 0);
    OKAY(close(fd));
    OKAY(close(out));
}

static void faults(void)
{
    char *pages = mmap(NULL, 4 * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    OKAY(munmap(pages + 2 * PIECE, PIECE));
    int fd = opened();
    STREAMS(fd, 8, 0);
    FAILS(read(fd, pages + 2 * PIECE, PIECE), EFAULT);
    EQUAL(where(fd), 8 * PIECE);
    FAILS(read(fd, (void *)8, PIECE), EFAULT);
    FAILS(read(fd, (void *)-4096L, PIECE), EFAULT);
    STREAMS(fd, 4, 8L * PIECE);
    /* Half of it fits. */
    EQUAL(OKAY(read(fd, pages + PIECE + PIECE / 2, PIECE)), PIECE / 2);
    is_pattern(pages + PIECE + PIECE / 2, 12L * PIECE, PIECE / 2, 0);
    EQUAL(where(fd), 12 * PIECE + PIECE / 2);
    STREAMS(fd, 4, 12L * PIECE + PIECE / 2);
    OKAY(close(fd));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        int fd = atoi(argv[1]);
        EQUAL(where(fd), 12 * PIECE);
        STREAMS(fd, 20, 12L * PIECE);
        return ok("ahead_position");
    }
    make_pattern("file", BYTES, 0);
    seeks();
    sizes();
    ends();
    shares();
    replaces();
    moves();
    faults();

    int fd = opened();
    STREAMS(fd, 12, 0);
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    OKAY(execl("/proc/self/exe", argv[0], number, NULL));
    return GUEST_FAILED;
}
