/* The errno of calls that name files wrongly. */
#include "guest.h"

int main(void)
{
    struct stat st;
    char buffer[64];
    make_file("file", "x");
    OKAY(mkdir("dir", 0755));
    make_file("dir/inside", "y");

    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open("nothing", O_RDONLY), ENOENT);
    FAILS(open("nothing/below", O_CREAT | O_WRONLY, 0600), ENOENT);
    FAILS(open("file/", O_RDONLY), ENOTDIR);
    FAILS(open("file/below", O_RDONLY), ENOTDIR);
    FAILS(open("new/", O_CREAT | O_WRONLY, 0600), EISDIR);
    FAILS(open("dir", O_WRONLY), EISDIR);
    FAILS(stat("", &st), ENOENT);
    FAILS(stat("file/.", &st), ENOTDIR);
    FAILS(mkdir("", 0700), ENOENT);
    FAILS(mkdir(".", 0700), EEXIST);
    FAILS(rmdir("."), EINVAL);
    FAILS(rmdir("dir"), ENOTEMPTY);
    FAILS(rmdir("nothing"), ENOENT);
    FAILS(unlink(""), ENOENT);
    FAILS(chdir("nothing"), ENOENT);
    FAILS(readlink("nothing", buffer, sizeof buffer), ENOENT);
    FAILS(truncate("file", -1), EINVAL);
    FAILS(truncate("dir", 0), EISDIR);
    FAILS(chmod("nothing", 0600), ENOENT);
    FAILS(chown("nothing", 0, 0), ENOENT);
    FAILS(link("nothing", "new"), ENOENT);
    FAILS(symlink("x", ""), ENOENT);
    FAILS(symlink("", "empty"), ENOENT);
    FAILS(mkfifo("file", 0600), EEXIST);
    FAILS(access("file", 077), EINVAL);
    FAILS(utimensat(AT_FDCWD, "nothing", NULL, 0), ENOENT);
    FAILS(open("/proc/self/nothing", O_RDONLY), ENOENT);
    FAILS(open("/proc/self/fd/999", O_RDONLY), ENOENT);
    FAILS(open("/proc/2147483647/stat", O_RDONLY), ENOENT);

    char name[NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[NAME_MAX + 1] = 0;
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
    FAILS(mkdir(name, 0700), ENAMETOOLONG);
    FAILS(stat(name, &st), ENAMETOOLONG);
    FAILS(rename("file", name), ENAMETOOLONG);
    name[NAME_MAX] = 0;
    OKAY(close(OKAY(open(name, O_CREAT | O_WRONLY, 0600))));
    OKAY(unlink(name));

    static char path[1 << 20];
    for (size_t i = 0; i < sizeof path - 1; i += 2)
        memcpy(path + i, "./", 2);
    path[PATH_MAX - 1] = 0;
    OKAY(stat(path, &st));
    path[PATH_MAX - 1] = '/';
    path[PATH_MAX] = 0;
    FAILS(stat(path, &st), ENAMETOOLONG);
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
    path[PATH_MAX] = '.';
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
    FAILS(chdir(path), ENAMETOOLONG);
    FAILS(unlink(path), ENAMETOOLONG);
    FAILS(symlink(path, "long"), ENAMETOOLONG);
    FAILS(rename(path, "x"), ENAMETOOLONG);
    FAILS(rename("file", path), ENAMETOOLONG);
    char *arguments[] = {path, NULL};
    FAILS(execv(path, arguments), ENAMETOOLONG);

    if (geteuid() != 0) {
        OKAY(chmod("file", 0));
        FAILS(open("file", O_RDONLY), EACCES);
        OKAY(chmod("dir", 0));
        FAILS(stat("dir/inside", &st), EACCES);
        OKAY(chmod("dir", 0755));
        FAILS(chown("file", 0, 0), EPERM);
    }
    OKAY(chmod("file", 0644));
    return ok("errors_path");
}
