/* Names and paths at the limits: NAME_MAX, PATH_MAX, a working directory deeper than PATH_MAX. */
#include "guest.h"

int main(void)
{
    char name[257];
    memset(name, 'n', sizeof name - 1);
    name[256] = 0;
    FAILS(mkdir(name, 0700), ENAMETOOLONG);
    name[255] = 0;
    OKAY(mkdir(name, 0700));
    FAILS(mkdir(name, 0700), EEXIST);

    /* "./././…/nnn": 4095 bytes with its end are the longest. */
    static char path[PATH_MAX + 2];
    size_t length = 4095;
    for (size_t i = 0; i < length - 255; i += 2)
        memcpy(path + i, "./", 2);
    memcpy(path + length - 255, name, 256);
    EQUAL(strlen(path), 4095);
    struct stat st;
    OKAY(stat(path, &st));
    CHECK(S_ISDIR(st.st_mode));
    FAILS(mkdir(path, 0700), EEXIST);
    OKAY(access(path, F_OK));
    memmove(path + 1, path, sizeof path - 1);
    path[0] = '/';
    path[1] = '.';
    FAILS(stat(path, &st), ENAMETOOLONG);
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
    FAILS(rename(path, "x"), ENAMETOOLONG);
    FAILS(symlink("x", path), ENAMETOOLONG);
    FAILS(chdir(path), ENAMETOOLONG);
    char *arguments[] = {path, NULL};
    FAILS(execv(path, arguments), ENAMETOOLONG);

    /* A link's text may be as long, too. */
    memset(path, 'x', 4095);
    path[4095] = 0;
    OKAY(symlink(path, "link"));
    static char text[PATH_MAX];
    EQUAL(OKAY(readlink("link", text, sizeof text)), 4095);
    path[4095] = 'x';
    path[4096] = 0;
    FAILS(symlink(path, "other"), ENAMETOOLONG);
    OKAY(unlink("link"));

    /* Deeper than any path. */
    int depth = 0, top = (int)OKAY(open(".", O_RDONLY | O_DIRECTORY));
    for (; depth < 20; depth++) {
        if (depth > 0)
            OKAY(mkdir(name, 0700));
        OKAY(chdir(name));
    }
    FAILS(syscall(SYS_getcwd, text, sizeof text), ENAMETOOLONG);
    make_file("file", "deep");
    SAME_TEXT(file_text("file"), "deep");
    EXITS(CHILD(SAME_TEXT(file_text("file"), "deep")), 0);
    OKAY(unlink("file"));
    for (; depth > 1; depth--) {
        OKAY(chdir(".."));
        OKAY(rmdir(name));
    }
    OKAY(fchdir(top));
    OKAY(rmdir(name));
    return ok("scale_paths");
}
