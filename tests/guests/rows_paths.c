/* Calls that name files by path: those that newer or fewer programs make, with their flags. */
#include "shown.h"
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <utime.h>

#define PLAIN_FD 3

static void times(void)
{
    struct utimbuf utimes_of = {.actime = 1000, .modtime = 2000};
    struct timeval pair[2] = {{3000, 5}, {4000, 6}}, wrong[2] = {{1, 1000000}, {1, 0}};
    struct timespec now[2] = {{0, UTIME_OMIT}, {77, 88}}, odd[2] = {{0, 1000000000}, {0, 0}};
    struct stat stat_;
    TRY(utime, "a", &utimes_of);
    OKAY(stat("a", &stat_));
    SHOW(stat_.st_atime);
    SHOW(stat_.st_mtime);
    TRY(utime, "missing", &utimes_of);
    TRY(utime, "a", WILD);
    TRY(utime, "a", NULL);
    TRY(futimesat, AT_FDCWD, "a", pair);
    OKAY(stat("a", &stat_));
    SHOW(stat_.st_atim.tv_nsec);
    SHOW(stat_.st_mtime);
    TRY(futimesat, AT_FDCWD, "a", wrong);
    TRY(futimesat, PLAIN_FD, NULL, pair);
    TRY(futimesat, PLAIN_FD, "a", pair);
    TRY(futimesat, -1, "a", pair);
    TRY(utimensat, AT_FDCWD, "a", now, 0);
    OKAY(stat("a", &stat_));
    SHOW(stat_.st_atime);
    SHOW(stat_.st_mtim.tv_nsec);
    TRY(utimensat, AT_FDCWD, "a", odd, 0);
    TRY(utimensat, AT_FDCWD, "link", now, AT_SYMLINK_NOFOLLOW);
    TRY(utimensat, PLAIN_FD, "", now, AT_EMPTY_PATH);
    TRY(utimensat, PLAIN_FD, NULL, now, 0);
    TRY(utimensat, AT_FDCWD, "a", now, 1);
}

static void nodes(void)
{
    struct stat stat_;
    TRY(mknod, "fifo", S_IFIFO | 0640, 0);
    OKAY(stat("fifo", &stat_));
    SHOW(stat_.st_mode);
    TRY(mknod, "fifo", S_IFIFO | 0640, 0);
    TRY(mknod, "null", S_IFCHR | 0600, 0x103);
    if (stat("null", &stat_) == 0)
        SHOW(stat_.st_rdev);
    TRY(mknod, "directory", S_IFDIR | 0700, 0);
    TRY(mknod, "odd", S_IFLNK | 0700, 0);
    TRY(mknod, "plain", 0600, 0);
    TRY(mknod, "missing/x", S_IFREG | 0600, 0);
    TRY(mknodat, AT_FDCWD, "socket", S_IFSOCK | 0600, 0);
    TRY(mknodat, PLAIN_FD, "x", S_IFIFO | 0600, 0);
    for (const char *const *name = (const char *[]){"fifo", "null", "plain", "socket", NULL}; *name; name++)
        unlink(*name);
}

static void rights(void)
{
    struct stat stat_;
    TRY(faccessat2, AT_FDCWD, "a", R_OK | W_OK, 0);
    TRY(faccessat2, AT_FDCWD, "a", X_OK, AT_EACCESS);
    TRY(faccessat2, AT_FDCWD, "dangling", F_OK, 0);
    TRY(faccessat2, AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW);
    TRY(faccessat2, PLAIN_FD, "", R_OK, AT_EMPTY_PATH);
    TRY(faccessat2, AT_FDCWD, "a", 8, 0);
    TRY(faccessat2, AT_FDCWD, "a", R_OK, 1);
    TRY(fchmodat2, AT_FDCWD, "a", 0604, 0);
    OKAY(stat("a", &stat_));
    SHOW(stat_.st_mode);
    TRY(fchmodat2, AT_FDCWD, "link", 0644, AT_SYMLINK_NOFOLLOW);
    TRY(fchmodat2, PLAIN_FD, "", 0644, AT_EMPTY_PATH);
    TRY(fchmodat2, AT_FDCWD, "a", 0644, 1);
    TRY(fchownat, AT_FDCWD, "a", getuid(), getgid(), 0);
    TRY(fchownat, AT_FDCWD, "link", -1, -1, AT_SYMLINK_NOFOLLOW);
    TRY(fchownat, PLAIN_FD, "", -1, -1, AT_EMPTY_PATH);
    TRY(fchownat, AT_FDCWD, "missing", -1, -1, 0);
    TRY(fchownat, AT_FDCWD, "a", -1, -1, 1);
}

static void names(void)
{
    struct stat stat_;
    make_file("one", "1");
    make_file("two", "22");
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE);
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE);
    OKAY(stat("one", &stat_));
    SHOW(stat_.st_size);
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "missing", RENAME_EXCHANGE);
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE | RENAME_EXCHANGE);
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "three", 0x100);
    TRY(renameat2, AT_FDCWD, "three", AT_FDCWD, "one", RENAME_NOREPLACE);
    TRY(renameat2, AT_FDCWD, "one", AT_FDCWD, "three", RENAME_WHITEOUT);
    unlink("one");
    unlink("three");
    unlink("two");
}

static void opened(void)
{
    struct open_how how = {.flags = O_RDONLY};
    struct {
        struct open_how how;
        uint64_t more;
    } longer = {.how = {.flags = O_RDONLY}};
    TRY(openat2, AT_FDCWD, "a", &how, sizeof how);
    how.resolve = RESOLVE_NO_SYMLINKS;
    TRY(openat2, AT_FDCWD, "link", &how, sizeof how);
    how.resolve = RESOLVE_BENEATH;
    TRY(openat2, AT_FDCWD, "../a", &how, sizeof how);
    TRY(openat2, AT_FDCWD, "/", &how, sizeof how);
    TRY(openat2, AT_FDCWD, "a", &how, sizeof how);
    how.resolve = RESOLVE_IN_ROOT;
    TRY(openat2, AT_FDCWD, "/a", &how, sizeof how);
    how.resolve = RESOLVE_NO_MAGICLINKS;
    TRY(openat2, AT_FDCWD, "/proc/self/fd/3", &how, sizeof how);
    how.resolve = RESOLVE_NO_XDEV;
    TRY(openat2, AT_FDCWD, "/proc/version", &how, sizeof how);
    how.resolve = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
    TRY(openat2, AT_FDCWD, "a", &how, sizeof how);
    how = (struct open_how){.flags = O_RDONLY, .mode = 0644};
    TRY(openat2, AT_FDCWD, "a", &how, sizeof how);
    how = (struct open_how){.flags = 1UL << 40};
    TRY(openat2, AT_FDCWD, "a", &how, sizeof how);
    TRY(openat2, AT_FDCWD, "a", &how, 8);
    TRY(openat2, AT_FDCWD, "a", &longer, sizeof longer);
    longer.more = 1;
    TRY(openat2, AT_FDCWD, "a", &longer, sizeof longer);
    TRY(openat2, AT_FDCWD, "a", &longer, 5000);
    TRY(openat2, AT_FDCWD, "a", WILD, sizeof how);
    TRY(close_range, 4, 100, 4);
    TRY(close_range, 4, 100, 1 << 10);
    TRY(close_range, 100, 4, 0);
    TRY(fcntl, 4, F_GETFD);
    TRY(close_range, 4, -1, 0);
}

static void listed(void)
{
    OKAY(mkdir("d", 0700));
    make_file("d/entry", "");
    int directory = (int)OKAY(open("d", O_RDONLY | O_DIRECTORY));
    char buffer[512] = {0};
    TRY(getdents, directory, buffer, 8);
    TRY(getdents, directory, buffer, sizeof buffer);
    // `struct linux_dirent`: the name follows three fields, the type is the record's last byte.
    unsigned short length;
    for (char *at = buffer; (memcpy(&length, at + 16, 2), length) != 0; at += length)
        if (at[18] != '.')
            printf("  %s of type %d\n", at + 18, at[length - 1]);
    TRY(getdents, directory, buffer, sizeof buffer);
    TRY(lseek, directory, 0, SEEK_SET);
    TRY(getdents, directory, WILD, sizeof buffer);
    TRY(getdents, PLAIN_FD, buffer, sizeof buffer);
    OKAY(close(directory));
    OKAY(unlink("d/entry"));
    OKAY(rmdir("d"));
}

static void systems(void)
{
    struct {
        int free, inodes;
        char rest[24];
    } ustat_ = {0};
    struct stat stat_;
    OKAY(stat("/", &stat_));
    // `struct ustat` is long out of the headers.
    TRY(ustat, stat_.st_dev, &ustat_);
    TRY(ustat, 0xfffff, &ustat_);
    TRY(ustat, stat_.st_dev, WILD);
    TRY(sysfs, 1, "proc");
    TRY(sysfs, 1, "no such system");
    TRY(sysfs, 1, WILD);
    TRY(sysfs, 3);
    TRY(sysfs, 4);
    struct statfs statfs_;
    TRY(statfs, "missing", &statfs_);
    TRY(statfs, "/proc", &statfs_);
    SHOW(statfs_.f_type);
    TRY(statfs, ".", WILD);
}

static void extended(void)
{
    struct statx statx_;
    memset(&statx_, 0, sizeof statx_);
    TRY(statx, AT_FDCWD, "a", 0, STATX_BASIC_STATS, &statx_);
    SHOW(statx_.stx_mask & STATX_BASIC_STATS);
    SHOW(statx_.stx_size);
    TRY(statx, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_SIZE, &statx_);
    SHOW(statx_.stx_mode);
    TRY(statx, PLAIN_FD, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_ALL, &statx_);
    SHOW(statx_.stx_nlink);
    TRY(statx, PLAIN_FD, NULL, AT_EMPTY_PATH, STATX_ALL, &statx_);
    TRY(statx, AT_FDCWD, "a", AT_STATX_SYNC_TYPE, STATX_ALL, &statx_);
    TRY(statx, AT_FDCWD, "a", 1, STATX_ALL, &statx_);
    TRY(statx, AT_FDCWD, "a", 0, 0x80000000, &statx_);
    TRY(statx, AT_FDCWD, "a", 0, STATX_ALL, WILD);
    TRY(statx, AT_FDCWD, "", 0, STATX_ALL, &statx_);
    TRY(statx, -1, "a", 0, STATX_ALL, &statx_);
}

int main(void)
{
    umask(022);
    make_file("a", "content");
    OKAY(symlink("a", "link"));
    OKAY(symlink("missing", "dangling"));
    EQUAL(open("a", O_RDWR), PLAIN_FD);
    times();
    nodes();
    rights();
    names();
    opened();
    listed();
    systems();
    extended();
    OKAY(unlink("a"));
    OKAY(unlink("link"));
    OKAY(unlink("dangling"));
    return ok("rows_paths");
}
