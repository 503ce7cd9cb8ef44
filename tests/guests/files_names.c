/* rename, renameat2, link, symlink, readlink, unlink, O_TMPFILE, a file used after its last name. */
#include "guest.h"

int main(void)
{
    char text[64];
    struct stat st;
    make_file("a", "A");
    make_file("b", "B");
    OKAY(rename("a", "b"));
    FAILS(open("a", O_RDONLY), ENOENT);
    SAME_TEXT(file_text("b"), "A");
    make_file("a", "second");
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    OKAY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    SAME_TEXT(file_text("b"), "second");
    SAME_TEXT(file_text("a"), "A");
    OKAY(mkdir("dir", 0755));
    FAILS(rename("a", "dir"), EISDIR);
    FAILS(rename("dir", "a"), ENOTDIR);
    FAILS(rename("dir", "dir/below"), EINVAL);
    FAILS(rename("nothing", "x"), ENOENT);
    OKAY(renameat(AT_FDCWD, "a", OKAY(open("dir", O_RDONLY)), "moved"));
    SAME_TEXT(file_text("dir/moved"), "A");

    OKAY(link("b", "hard"));
    OKAY(stat("hard", &st));
    EQUAL(st.st_nlink, 2);
    FAILS(link("b", "hard"), EEXIST);
    FAILS(link("dir", "dirlink"), EPERM);
    OKAY(symlink("dir/moved", "soft"));
    EQUAL(OKAY(readlink("soft", text, sizeof text)), 9);
    CHECK(memcmp(text, "dir/moved", 9) == 0);
    EQUAL(OKAY(readlink("soft", text, 3)), 3);
    FAILS(readlink("b", text, sizeof text), EINVAL);
    SAME_TEXT(file_text("soft"), "A");
    FAILS(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP);
    OKAY(symlink("round", "round"));
    FAILS(open("round", O_RDONLY), ELOOP);
    OKAY(unlink("round"));
    OKAY(symlink("nowhere", "dangling"));
    FAILS(open("dangling", O_RDONLY), ENOENT);
    OKAY(close(OKAY(open("dangling", O_WRONLY | O_CREAT, 0600))));
    OKAY(access("nowhere", F_OK));
    FAILS(linkat(AT_FDCWD, "soft", AT_FDCWD, "soft2", 0x8000000), EINVAL);
    OKAY(linkat(AT_FDCWD, "soft", AT_FDCWD, "soft2", AT_SYMLINK_FOLLOW));
    OKAY(lstat("soft2", &st));
    CHECK(S_ISREG(st.st_mode));

    /* A file lives on without a name. */
    int fd = (int)OKAY(open("b", O_RDWR));
    OKAY(unlink("b"));
    OKAY(unlink("hard"));
    OKAY(fstat(fd, &st));
    EQUAL(st.st_nlink, 0);
    EQUAL(OKAY(pread(fd, text, sizeof text, 0)), 6);
    make_file("b", "new");
    EQUAL(OKAY(pread(fd, text, sizeof text, 0)), 6);
    FAILS(unlink("hard"), ENOENT);
    FAILS(unlinkat(AT_FDCWD, "dir", 0), EISDIR);
    FAILS(unlinkat(AT_FDCWD, "b", AT_REMOVEDIR), ENOTDIR);

    int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
    if (nameless != -1) {
        char path[64];
        write_all(nameless, "born nameless", 13);
        snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
        OKAY(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    } else {
        EQUAL(errno, EOPNOTSUPP);
        make_file("named", "born nameless");
    }
    SAME_TEXT(file_text("named"), "born nameless");
    return ok("files_names");
}
