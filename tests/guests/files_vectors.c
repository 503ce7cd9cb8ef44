/* readv, writev, preadv, pwritev, preadv2, pwritev2: order, empty parts, IOV_MAX parts. */
#include "guest.h"

int main(void)
{
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0644));
    struct iovec parts[3] = {{"one ", 4}, {NULL, 0}, {"two", 3}};
    EQUAL(OKAY(writev(fd, parts, 3)), 7);
    EQUAL(OKAY(writev(fd, parts, 0)), 0);
    char a[3], b[10];
    struct iovec into[2] = {{a, sizeof a}, {b, sizeof b}};
    EQUAL(OKAY(preadv(fd, into, 2, 0)), 7);
    CHECK(memcmp(a, "one", 3) == 0 && memcmp(b, " two", 4) == 0);
    OKAY(lseek(fd, 1, SEEK_SET));
    EQUAL(OKAY(readv(fd, into, 2)), 6);
    CHECK(memcmp(a, "ne ", 3) == 0 && memcmp(b, "two", 3) == 0);
    EQUAL(OKAY(pwritev(fd, parts, 3, 100)), 7);
    EQUAL(OKAY(pread(fd, b, 10, 100)), 7);
    CHECK(memcmp(b, "one two", 7) == 0);
    EQUAL(OKAY(preadv2(fd, into, 2, 100, 0)), 7);
    EQUAL(OKAY(pwritev2(fd, parts, 3, 0, RWF_APPEND)), 7);
    EQUAL(lseek(fd, 0, SEEK_END), 114);
    OKAY(lseek(fd, 0, SEEK_SET));
    EQUAL(OKAY(preadv2(fd, into, 1, -1, 0)), 3);
    EQUAL(lseek(fd, 0, SEEK_CUR), 3);

    /* As many parts as there may be, and one more. */
    static struct iovec many[IOV_MAX + 1];
    static char bytes[IOV_MAX + 1], back[IOV_MAX + 1];
    for (int i = 0; i <= IOV_MAX; i++) {
        bytes[i] = (char)(i * 7);
        many[i] = (struct iovec){&bytes[i], 1};
    }
    EQUAL(OKAY(pwritev(fd, many, IOV_MAX, 0)), IOV_MAX);
    for (int i = 0; i <= IOV_MAX; i++)
        many[i].iov_base = &back[IOV_MAX - i];
    EQUAL(OKAY(preadv(fd, many, IOV_MAX, 0)), IOV_MAX);
    for (int i = 0; i < IOV_MAX; i++)
        EQUAL(back[IOV_MAX - i], bytes[i]);
    FAILS(readv(fd, many, IOV_MAX + 1), EINVAL);
    FAILS(syscall(SYS_readv, fd, many, -1), EINVAL);

    /* Large parts. */
    size_t size = 3 << 20;
    char *large = malloc(size), *large_back = malloc(size);
    for (size_t i = 0; i < size; i++)
        large[i] = (char)(i * 31 >> 3);
    struct iovec big[3] = {{large, size / 2}, {large + size / 2, 1}, {large + size / 2 + 1, size / 2 - 1}};
    EQUAL(OKAY(pwritev(fd, big, 3, 0)), size);
    struct iovec big_back[2] = {{large_back, 1}, {large_back + 1, size - 1}};
    EQUAL(OKAY(preadv(fd, big_back, 2, 0)), size);
    CHECK(memcmp(large, large_back, size) == 0);
    OKAY(unlink("file"));
    return ok("files_vectors");
}
