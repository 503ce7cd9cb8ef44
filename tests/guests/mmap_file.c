/* Private and read-only mappings of files: offset, end of file, truncation, own changes, close, unlink. */
#include "guest.h"

#define PAGES 20

int main(void)
{
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0644));
    char page[4096];
    for (int i = 0; i < PAGES; i++) {
        memset(page, 'a' + i, sizeof page);
        write_all(fd, page, sizeof page);
    }
    write_all(fd, "tail", 4);
    size_t size = (PAGES + 1) * 4096;

    char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(all != MAP_FAILED);
    for (int i = 0; i < PAGES; i++)
        EQUAL(all[i * 4096 + i], 'a' + i);
    CHECK(memcmp(all + PAGES * 4096, "tail", 4) == 0);
    for (size_t i = PAGES * 4096 + 4; i < size; i++)
        EQUAL(all[i], 0);
    /* Own changes stay own. */
    all[0] = 'X';
    all[PAGES * 4096 + 10] = 'Y';
    EQUAL(OKAY(pread(fd, page, 1, 0)), 1);
    EQUAL(page[0], 'a');
    struct stat st;
    OKAY(fstat(fd, &st));
    EQUAL(st.st_size, PAGES * 4096 + 4);

    char *part = mmap(NULL, 2 * 4096, PROT_READ, MAP_PRIVATE, fd, 5 * 4096);
    CHECK(part != MAP_FAILED);
    EQUAL(part[0], 'f');
    EQUAL(part[4096], 'g');
    CHECK(mmap(all + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 10 * 4096) == all + 4096);
    EQUAL(all[4096], 'k');
    EQUAL(all[0], 'X');
    EQUAL(all[8192], 'c');
    /* Calls take their data from and put it into such memory. */
    EQUAL(OKAY(pwrite(fd, all + 4096, 4096, PAGES * 4096)), 4096);
    EQUAL(OKAY(pread(fd, all + 8192, 10, 0)), 10);
    EQUAL(all[8192], 'a');
    EQUAL(all[8192 + 10], 'c');
    FAILS(syscall(SYS_pread64, fd, part, 10, 0), EFAULT);

    OKAY(madvise(all, 4096, MADV_DONTNEED));
    EQUAL(all[0], 'a');
    OKAY(mprotect(part, 2 * 4096, PROT_READ | PROT_WRITE));
    part[0] = 'Z';
    char *moved = mremap(part, 2 * 4096, 4 * 4096, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED);
    EQUAL(moved[0], 'Z');
    EQUAL(moved[2 * 4096], 'h');

    int reader = (int)OKAY(open("file", O_RDONLY)), writer = (int)OKAY(open("file", O_WRONLY));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED);
    EQUAL(errno, EACCES);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, writer, 0) == MAP_FAILED);
    EQUAL(errno, EACCES);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, reader, 100) == MAP_FAILED);
    EQUAL(errno, EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, (int)OKAY(open(".", O_RDONLY)), 0) == MAP_FAILED);
    EQUAL(errno, ENODEV);

    /* After its descriptor and its name are gone. */
    OKAY(close(fd));
    OKAY(close(writer));
    OKAY(unlink("file"));
    EQUAL(moved[4096], 'g');
    EQUAL(all[19 * 4096], 't');

    /* A file that is made longer after it was mapped. */
    fd = (int)OKAY(open("grown", O_RDWR | O_CREAT, 0644));
    char *early = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(early != MAP_FAILED);
    OKAY(ftruncate(fd, 8192));
    EQUAL(OKAY(pwrite(fd, "late", 4, 4096)), 4);
    EQUAL(early[0], 0);
    CHECK(memcmp(early + 4096, "late", 4) == 0);
    /* A file that has just been written, again and again. */
    for (int i = 0; i < 30; i++) {
        memset(page, '0' + i, sizeof page);
        EQUAL(OKAY(pwrite(fd, page, sizeof page, 0)), sizeof page);
        char *now = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        EQUAL(now[4095], '0' + i);
        OKAY(munmap(now, 4096));
    }
    OKAY(unlink("grown"));
    return ok("mmap_file");
}
