/* openat and its flags: O_PATH, O_DIRECTORY, openat2 RESOLVE_BENEATH, relative directories. */
#include "guest.h"
#include <linux/openat2.h>

int main(void)
{
    char text[16];
    struct stat st;
    OKAY(mkdir("dir", 0755));
    OKAY(mkdir("dir/sub", 0755));
    make_file("outside", "outside");
    make_file("dir/sub/inside", "inside");
    int dir = (int)OKAY(open("dir", O_RDONLY | O_DIRECTORY));
    FAILS(open("outside", O_RDONLY | O_DIRECTORY), ENOTDIR);
    int fd = (int)OKAY(openat(dir, "sub/inside", O_RDONLY));
    EQUAL(OKAY(read(fd, text, sizeof text)), 6);
    FAILS(openat(fd, "anything", O_RDONLY), ENOTDIR);
    FAILS(openat(99, "anything", O_RDONLY), EBADF);
    OKAY(close(OKAY(openat(99, "/dev/null", O_RDONLY))));

    int path = (int)OKAY(open("dir/sub/inside", O_PATH));
    FAILS(read(path, text, 1), EBADF);
    OKAY(fstat(path, &st));
    EQUAL(st.st_size, 6);
    char by_proc[64];
    snprintf(by_proc, sizeof by_proc, "/proc/self/fd/%d", path);
    int reopened = (int)OKAY(open(by_proc, O_RDONLY));
    EQUAL(OKAY(read(reopened, text, sizeof text)), 6);

    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    OKAY(syscall(SYS_openat2, dir, "sub/inside", &how, sizeof how));
    FAILS(syscall(SYS_openat2, dir, "../outside", &how, sizeof how), EXDEV);
    FAILS(syscall(SYS_openat2, dir, "/etc/passwd", &how, sizeof how), EXDEV);
    how.resolve = RESOLVE_IN_ROOT;
    OKAY(syscall(SYS_openat2, dir, "/sub/inside", &how, sizeof how));
    how = (struct open_how){.flags = O_RDONLY, .resolve = 1 << 30};
    FAILS(syscall(SYS_openat2, dir, "sub/inside", &how, sizeof how), EINVAL);
    FAILS(syscall(SYS_openat2, dir, "sub/inside", &how, 1), EINVAL);
    struct {
        struct open_how how;
        uint64_t more;
    } longer = {{.flags = O_RDONLY}, 0};
    OKAY(syscall(SYS_openat2, dir, "sub/inside", &longer, sizeof longer));
    longer.more = 1;
    FAILS(syscall(SYS_openat2, dir, "sub/inside", &longer, sizeof longer), E2BIG);

    OKAY(mkdirat(dir, "made", 0700));
    OKAY(mknodat(dir, "made/fifo", S_IFIFO | 0600, 0));
    OKAY(symlinkat("sub/inside", dir, "link"));
    EQUAL(OKAY(readlinkat(dir, "link", text, sizeof text)), 10);
    int link = (int)OKAY(openat(dir, "link", O_PATH | O_NOFOLLOW));
    EQUAL(OKAY(readlinkat(link, "", text, sizeof text)), 10);
    OKAY(unlinkat(dir, "made/fifo", 0));
    OKAY(unlinkat(dir, "made", AT_REMOVEDIR));

    /* The directory descriptor follows the directory. */
    OKAY(rename("dir", "renamed"));
    OKAY(close(OKAY(openat(dir, "sub/inside", O_RDONLY))));
    return ok("files_at");
}
