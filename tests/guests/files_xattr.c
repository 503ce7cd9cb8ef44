/* Extended attributes, or ENOTSUP throughout where the file system has none. */
#include "guest.h"
#include <sys/xattr.h>

int main(void)
{
    char value[64];
    make_file("file", "x");
    int fd = (int)OKAY(open("file", O_RDWR));
    if (setxattr("file", "user.colour", "green", 5, 0) == -1) {
        EQUAL(errno, ENOTSUP);
        FAILS(fsetxattr(fd, "user.colour", "green", 5, 0), ENOTSUP);
        return ok("files_xattr");
    }
    FAILS(setxattr("file", "user.colour", "red", 3, XATTR_CREATE), EEXIST);
    FAILS(setxattr("file", "user.other", "red", 3, XATTR_REPLACE), ENODATA);
    EQUAL(OKAY(getxattr("file", "user.colour", NULL, 0)), 5);
    EQUAL(OKAY(fgetxattr(fd, "user.colour", value, sizeof value)), 5);
    CHECK(memcmp(value, "green", 5) == 0);
    FAILS(getxattr("file", "user.colour", value, 2), ERANGE);
    OKAY(fsetxattr(fd, "user.empty", "", 0, 0));
    EQUAL(OKAY(getxattr("file", "user.empty", value, sizeof value)), 0);
    char names[256];
    long length = OKAY(listxattr("file", names, sizeof names));
    bool colour = false, empty = false;
    for (long at = 0; at < length; at += (long)strlen(names + at) + 1) {
        colour |= strcmp(names + at, "user.colour") == 0;
        empty |= strcmp(names + at, "user.empty") == 0;
    }
    CHECK(colour && empty);
    EQUAL(OKAY(flistxattr(fd, NULL, 0)), length);
    OKAY(removexattr("file", "user.colour"));
    OKAY(fremovexattr(fd, "user.empty"));
    FAILS(getxattr("file", "user.colour", value, sizeof value), ENODATA);
    FAILS(lgetxattr("nothing", "user.colour", value, sizeof value), ENOENT);
    FAILS(setxattr("file", "nonsense", "x", 1, 0), EOPNOTSUPP);
    return ok("files_xattr");
}
