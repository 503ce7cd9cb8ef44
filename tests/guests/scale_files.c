/* Large files and large calls: writes beyond 2 GiB, sparse files of 10 GiB, and mappings of those. */
#include "guest.h"
#include <sys/sendfile.h>

#define GIB (1L << 30)

int main(void)
{
    /* The kernel takes at most this much at once. */
    char *zeros = mmap(NULL, 3 * GIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(zeros != MAP_FAILED);
    int null = (int)OKAY(open("/dev/null", O_WRONLY));
    EQUAL(OKAY(write(null, zeros, 3 * GIB)), 0x7ffff000);

    int fd = (int)OKAY(open("sparse", O_RDWR | O_CREAT, 0600));
    OKAY(ftruncate(fd, 10 * GIB));
    EQUAL(OKAY(pwrite(fd, "start", 5, 0)), 5);
    EQUAL(OKAY(pwrite(fd, "middle", 6, 5 * GIB)), 6);
    EQUAL(OKAY(pwrite(fd, "end", 3, 10 * GIB - 3)), 3);
    EQUAL(OKAY(lseek(fd, GIB, SEEK_DATA)), 5 * GIB);
    CHECK(OKAY(lseek(fd, 5 * GIB, SEEK_HOLE)) > 5 * GIB);
    struct stat st;
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, 10 * GIB);
    CHECK(st.st_blocks < 1024);
    OKAY(close(fd));

    fd = (int)OKAY(open("sparse", O_RDONLY));
    char *mapped = mmap(NULL, 10 * GIB, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(mapped != MAP_FAILED);
    SAME_TEXT(mapped, "start");
    SAME_TEXT(mapped + 5 * GIB, "middle");
    EQUAL(memcmp(mapped + 10 * GIB - 3, "end", 3), 0);
    EQUAL(mapped[7 * GIB], 0);
    char *writable = mmap(NULL, 10 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(writable != MAP_FAILED);
    writable[5 * GIB] = 'M';
    SAME_TEXT(writable + 5 * GIB, "Middle");
    SAME_TEXT(mapped + 5 * GIB, "middle");
    OKAY(munmap(mapped, 10 * GIB));
    OKAY(munmap(writable, 10 * GIB));
    OKAY(unlink("sparse"));
    return ok("scale_files");
}
