/* The stat family, access, chmod, utimens. */
#include "guest.h"
#include <sys/sysmacros.h>

int main(void)
{
    umask(022);
    make_file("file", "12345");
    OKAY(symlink("file", "link"));
    OKAY(mkdir("dir", 0755));
    struct stat st, other;
    OKAY(stat("file", &st));
    CHECK(S_ISREG(st.st_mode));
    EQUAL(st.st_mode & 07777, 0644);
    EQUAL(st.st_size, 5);
    EQUAL(st.st_nlink, 1);
    EQUAL(st.st_uid, geteuid());
    EQUAL(st.st_gid, getegid());
    OKAY(stat("link", &other));
    EQUAL(other.st_ino, st.st_ino);
    EQUAL(other.st_dev, st.st_dev);
    OKAY(lstat("link", &other));
    CHECK(S_ISLNK(other.st_mode));
    EQUAL(other.st_size, 4);
    int fd = (int)OKAY(open("file", O_RDONLY));
    OKAY(fstat(fd, &other));
    EQUAL(other.st_ino, st.st_ino);
    OKAY(fstatat(fd, "", &other, AT_EMPTY_PATH));
    EQUAL(other.st_ino, st.st_ino);
    int dir = (int)OKAY(open("dir", O_RDONLY | O_DIRECTORY));
    OKAY(fstatat(dir, "../link", &other, AT_SYMLINK_NOFOLLOW));
    CHECK(S_ISLNK(other.st_mode));
    OKAY(fstatat(dir, ".", &other, 0));
    EQUAL(other.st_nlink, 2);
    CHECK(S_ISDIR(other.st_mode));

    struct statx stx;
    OKAY(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &stx));
    EQUAL(stx.stx_size, 5);
    EQUAL(stx.stx_ino, st.st_ino);
    EQUAL(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
    OKAY(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx));
    EQUAL(stx.stx_size, 5);

    OKAY(access("file", R_OK | W_OK));
    FAILS(access("file", X_OK), EACCES);
    FAILS(access("nothing", F_OK), ENOENT);
    OKAY(faccessat(dir, "../file", R_OK, AT_EACCESS));
    OKAY(chmod("file", 0751));
    OKAY(access("file", X_OK));
    OKAY(fstat(fd, &other));
    EQUAL(other.st_mode & 07777, 0751);
    OKAY(fchmod(fd, 02700));
    OKAY(fchmodat(dir, "../dir", 0711, 0));
    OKAY(stat("dir", &other));
    EQUAL(other.st_mode & 07777, 0711);
    OKAY(chown("file", geteuid(), (gid_t)-1));
    OKAY(lchown("link", (uid_t)-1, getegid()));
    OKAY(fchown(fd, (uid_t)-1, (gid_t)-1));

    struct timespec stamps[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    OKAY(utimensat(AT_FDCWD, "file", stamps, 0));
    OKAY(stat("file", &other));
    EQUAL(other.st_atim.tv_sec, 1000000000);
    EQUAL(other.st_mtim.tv_sec, 1100000000);
    EQUAL(other.st_mtim.tv_nsec, 987654321);
    stamps[0].tv_nsec = UTIME_OMIT;
    stamps[1] = (struct timespec){7, 0};
    OKAY(futimens(fd, stamps));
    OKAY(stat("file", &other));
    EQUAL(other.st_atim.tv_sec, 1000000000);
    EQUAL(other.st_mtim.tv_sec, 7);
    struct timeval old[2] = {{11, 0}, {12, 500000}};
    OKAY(utimes("file", old));
    OKAY(stat("file", &other));
    EQUAL(other.st_mtim.tv_nsec, 500000000);
    OKAY(utimensat(AT_FDCWD, "file", NULL, 0));
    OKAY(stat("file", &other));
    CHECK(other.st_mtim.tv_sec > 1100000000);
    /* A write moves mtime on or leaves it, never back. */
    struct timespec before = other.st_mtim;
    int out = (int)OKAY(open("file", O_WRONLY));
    write_all(out, "x", 1);
    OKAY(fstat(out, &other));
    CHECK(other.st_mtim.tv_sec > before.tv_sec
          || (other.st_mtim.tv_sec == before.tv_sec && other.st_mtim.tv_nsec >= before.tv_nsec));
    OKAY(stat("/dev/null", &st));
    CHECK(S_ISCHR(st.st_mode));
    EQUAL(st.st_rdev, makedev(1, 3));
    return ok("files_stat");
}
