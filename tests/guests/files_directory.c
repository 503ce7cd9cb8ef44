/* mkdir, rmdir, getdents64, seekdir, chdir, fchdir, getcwd, umask; a directory of 1,000 names. */
#include "guest.h"

#define NAMES 1000

struct entry {
    uint64_t ino;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int count_raw(int fd, size_t buffer_size)
{
    char *buffer = malloc(buffer_size);
    int names = 0;
    OKAY(lseek(fd, 0, SEEK_SET));
    for (;;) {
        long n = OKAY(syscall(SYS_getdents64, fd, buffer, buffer_size));
        if (n == 0)
            break;
        for (long at = 0; at < n;) {
            struct entry *e = (struct entry *)(buffer + at);
            names += e->name[0] == 'n';
            at += e->length;
        }
    }
    free(buffer);
    return names;
}

int main(void)
{
    char start[PATH_MAX], here[PATH_MAX], wanted[PATH_MAX + 16];
    CHECK(getcwd(start, sizeof start) != NULL);
    umask(077);
    EQUAL(umask(077), 077);
    OKAY(mkdir("private", 0777));
    umask(027);
    EQUAL(umask(027), 027);
    OKAY(mkdir("group", 0777));
    struct stat st;
    OKAY(stat("private", &st));
    EQUAL(st.st_mode & 0777, 0700);
    OKAY(stat("group", &st));
    EQUAL(st.st_mode & 0777, 0750);
    OKAY(close(OKAY(open("file", O_CREAT | O_WRONLY, 0666))));
    OKAY(stat("file", &st));
    EQUAL(st.st_mode & 0777, 0640);
    umask(022);

    FAILS(mkdir("group", 0777), EEXIST);
    FAILS(mkdir("nothing/below", 0777), ENOENT);
    FAILS(mkdir("file/below", 0777), ENOTDIR);
    OKAY(mkdir("many", 0755));
    FAILS(rmdir("file"), ENOTDIR);
    FAILS(unlink("many"), EISDIR);
    OKAY(chdir("many"));
    snprintf(wanted, sizeof wanted, "%s/many", start);
    CHECK(getcwd(here, sizeof here) != NULL);
    SAME_TEXT(here, wanted);
    FAILS(syscall(SYS_getcwd, here, 3), ERANGE);
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%04d", i);
        OKAY(close(OKAY(open(name, O_CREAT | O_WRONLY, 0600))));
    }
    int fd = (int)OKAY(open(".", O_RDONLY | O_DIRECTORY));
    EQUAL(count_raw(fd, 300), NAMES);
    EQUAL(count_raw(fd, 1 << 20), NAMES);
    OKAY(lseek(fd, 0, SEEK_SET));
    FAILS(syscall(SYS_getdents64, fd, here, 1), EINVAL);
    FAILS(read(fd, here, 1), EISDIR);
    FAILS(open(".", O_RDWR), EISDIR);

    static bool seen[NAMES];
    int dots = 0;
    DIR *dir = opendir(".");
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') {
            dots++;
            continue;
        }
        int i = atoi(e->d_name + 5);
        CHECK(!seen[i]);
        seen[i] = true;
    }
    EQUAL(dots, 2);
    for (int i = 0; i < NAMES; i++)
        CHECK(seen[i]);
    /* A remembered place is found again. */
    rewinddir(dir);
    for (int i = 0; i < 10; i++)
        CHECK(readdir(dir) != NULL);
    long place = telldir(dir);
    char next[256];
    strcpy(next, readdir(dir)->d_name);
    rewinddir(dir);
    seekdir(dir, place);
    SAME_TEXT(readdir(dir)->d_name, next);
    OKAY(closedir(dir));

    OKAY(chdir(".."));
    FAILS(rmdir("many"), ENOTEMPTY);
    OKAY(fchdir(fd));
    CHECK(getcwd(here, sizeof here) != NULL);
    SAME_TEXT(here, wanted);
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%04d", i);
        OKAY(unlink(name));
    }
    OKAY(rmdir("../many"));
    FAILS(open("x", O_CREAT | O_WRONLY, 0600), ENOENT);
    CHECK(getcwd(here, sizeof here) == NULL || strstr(here, "unreachable") == NULL);
    EQUAL(errno, ENOENT);
    OKAY(chdir(start));
    FAILS(chdir("file"), ENOTDIR);
    FAILS(fchdir(OKAY(open("file", O_RDONLY))), ENOTDIR);
    return ok("files_directory");
}
