/* copy_file_range, sendfile, fallocate, fadvise, the sync calls. */
#include "guest.h"
#include <sys/sendfile.h>

int main(void)
{
    size_t size = 300000;
    char *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 13 >> 2);
    int from = (int)OKAY(open("from", O_RDWR | O_CREAT, 0644));
    int to = (int)OKAY(open("to", O_RDWR | O_CREAT, 0644));
    write_all(from, data, size);

    off_t at = 0;
    size_t copied = 0;
    while (copied < size)
        copied += (size_t)OKAY(sendfile(to, from, &at, size - copied));
    EQUAL(at, size);
    EQUAL(lseek(from, 0, SEEK_CUR), size);
    EQUAL(OKAY(pread(to, back, size, 0)), size);
    CHECK(memcmp(data, back, size) == 0);
    EQUAL(OKAY(sendfile(to, from, NULL, 10)), 0);

    OKAY(ftruncate(to, 0));
    off_t in = 1000, out = 0;
    copied = 0;
    while (copied < size - 1000) {
        long n = OKAY(copy_file_range(from, &in, to, &out, size, 0));
        CHECK(n > 0);
        copied += (size_t)n;
    }
    EQUAL(out, size - 1000);
    EQUAL(OKAY(pread(to, back, size, 0)), size - 1000);
    CHECK(memcmp(data + 1000, back, size - 1000) == 0);

    int append = (int)OKAY(open("to", O_WRONLY | O_APPEND));
    FAILS(copy_file_range(from, &in, append, NULL, 1, 0), EBADF);
    at = 0;
    FAILS(sendfile(append, from, &at, 1), EINVAL);

    OKAY(posix_fallocate(to, 0, 400000));
    struct stat st;
    OKAY(fstat(to, &st));
    EQUAL(st.st_size, 400000);
    if (fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) {
        char zeros[4096] = {0};
        EQUAL(OKAY(pread(to, back, 4096, 0)), 4096);
        CHECK(memcmp(back, zeros, 4096) == 0);
    } else {
        EQUAL(errno, EOPNOTSUPP);
    }
    FAILS(fallocate(to, 0, 0, 0), EINVAL);
    ZERO(posix_fadvise(from, 0, 0, POSIX_FADV_SEQUENTIAL));
    OKAY(readahead(from, 0, 4096));
    OKAY(fsync(to));
    OKAY(fdatasync(to));
    OKAY(sync_file_range(to, 0, 4096, SYNC_FILE_RANGE_WRITE));
    OKAY(syncfs(to));
    sync();
    OKAY(unlink("from"));
    OKAY(unlink("to"));
    return ok("files_copy");
}
