/* Buffers of which only the first part is mapped: what the kernel transfers before it faults. */
#include "guest.h"

int main(void)
{
    char *area = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    OKAY(munmap(area + 8192, 4096));
    memset(area, 'a', 8192);
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));

    /* A write to a file stops at the hole and says how far it came. */
    EQUAL(OKAY(write(fd, area, 12288)), 8192);
    EQUAL(lseek(fd, 0, SEEK_CUR), 8192);
    FAILS(write(fd, area + 8192, 10), EFAULT);
    /* So does a read from a file. */
    EQUAL(OKAY(ftruncate(fd, 20000)), 0);
    EQUAL(OKAY(pread(fd, area, 20000, 0)), 8192);
    struct iovec parts[2] = {{area, 100}, {area + 8192, 100}};
    EQUAL(OKAY(preadv(fd, parts, 2, 0)), 100);
    EQUAL(OKAY(pwritev(fd, parts, 2, 0)), 100);
    return ok("errors_partial");
}
