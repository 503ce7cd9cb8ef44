/* Extended attributes by path, link, descriptor and directory; the attributes of inodes; handles. */
#include "shown.h"
#include <linux/fs.h>
#include <sys/xattr.h>

#define PLAIN_FD 3

struct attribute {
    uint64_t value;
    uint32_t size, flags;
};

static void by_path(void)
{
    char value[16] = {0}, list[256];
    TRY(setxattr, "a", "user.one", "first", 5, XATTR_CREATE);
    TRY(setxattr, "a", "user.one", "again", 5, XATTR_CREATE);
    TRY(setxattr, "a", "user.two", "second", 6, XATTR_REPLACE);
    TRY(setxattr, "a", "user.one", "other", 5, 8);
    TRY(setxattr, "a", "nothing", "other", 5, 0);
    TRY(setxattr, "a", "user.empty", NULL, 0, 0);
    TRY(setxattr, "a", "user.wild", WILD, 4, 0);
    TRY(setxattr, "a", "user.long", value, 70000, 0);
    TRY(setxattr, "a", WILD, value, 1, 0);
    TRY(setxattr, "missing", "user.one", value, 1, 0);
    TRY(getxattr, "a", "user.one", value, sizeof value);
    show_bytes("value", value, sizeof value);
    TRY(getxattr, "a", "user.one", value, 2);
    TRY(getxattr, "a", "user.one", NULL, 0);
    TRY(getxattr, "a", "user.none", value, sizeof value);
    TRY(getxattr, "a", "user.one", WILD, 16);
    TRY(lsetxattr, "link", "user.one", "x", 1, 0);
    TRY(lsetxattr, "a", "user.three", "third", 5, 0);
    TRY(lgetxattr, "link", "user.one", value, sizeof value);
    TRY(lgetxattr, "a", "user.three", value, sizeof value);
    memset(list, 0, sizeof list);
    TRY(listxattr, "a", list, sizeof list);
    TRY(listxattr, "a", list, 3);
    TRY(listxattr, "a", NULL, 0);
    TRY(listxattr, "a", WILD, 100);
    TRY(llistxattr, "link", list, sizeof list);
    TRY(llistxattr, "a", list, sizeof list);
    TRY(removexattr, "a", "user.three");
    TRY(lremovexattr, "a", "user.three");
    TRY(lremovexattr, "link", "user.one");
    TRY(removexattr, "a", "user.empty");
}

static void by_descriptor(void)
{
    char value[16] = {0};
    TRY(fsetxattr, PLAIN_FD, "user.four", "fourth", 6, 0);
    TRY(fgetxattr, PLAIN_FD, "user.four", value, sizeof value);
    show_bytes("value", value, sizeof value);
    TRY(flistxattr, PLAIN_FD, NULL, 0);
    TRY(fremovexattr, PLAIN_FD, "user.four");
    TRY(fremovexattr, PLAIN_FD, "user.four");
    TRY(fsetxattr, -1, "user.four", "fourth", 6, 0);
    TRY(flistxattr, -1, value, 4);
}

static void by_directory(void)
{
    char value[16] = {0}, list[256];
    struct attribute set = {(uintptr_t) "fifth", 5, 0}, get = {(uintptr_t)value, sizeof value, 0};
    struct attribute wild = {8, 5, 0}, flagged = {(uintptr_t)value, sizeof value, 1};
    TRY(setxattrat, AT_FDCWD, "a", 0, "user.five", &set, sizeof set);
    TRY(setxattrat, AT_FDCWD, "a", 1, "user.five", &set, sizeof set);
    TRY(setxattrat, AT_FDCWD, "a", 0, "user.five", &set, 8);
    TRY(setxattrat, AT_FDCWD, "a", 0, "user.five", &wild, sizeof wild);
    TRY(setxattrat, AT_FDCWD, "a", 0, "user.five", WILD, sizeof set);
    TRY(setxattrat, PLAIN_FD, "", AT_EMPTY_PATH, "user.six", &set, sizeof set);
    TRY(getxattrat, AT_FDCWD, "a", 0, "user.five", &get, sizeof get);
    show_bytes("value", value, sizeof value);
    SHOW(get.size);
    TRY(getxattrat, AT_FDCWD, "a", 0, "user.five", &wild, sizeof wild);
    TRY(getxattrat, AT_FDCWD, "a", 0, "user.five", &flagged, sizeof flagged);
    TRY(getxattrat, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.five", &get, sizeof get);
    TRY(listxattrat, AT_FDCWD, "a", 0, list, sizeof list);
    TRY(listxattrat, AT_FDCWD, "a", 0, NULL, 0);
    TRY(listxattrat, AT_FDCWD, "a", 0, WILD, 100);
    TRY(removexattrat, AT_FDCWD, "a", 0, "user.five");
    TRY(removexattrat, AT_FDCWD, "a", 0, "user.five");
    TRY(removexattrat, PLAIN_FD, "", AT_EMPTY_PATH, "user.six");
}

static void of_inodes(void)
{
    struct {
        uint64_t flags;
        uint32_t rest[4];
    } attributes = {0};
    TRY(file_getattr, AT_FDCWD, "a", &attributes, sizeof attributes, 0);
    SHOW(attributes.flags);
    TRY(file_getattr, AT_FDCWD, "a", &attributes, 8, 0);
    TRY(file_getattr, AT_FDCWD, "a", WILD, sizeof attributes, 0);
    TRY(file_getattr, AT_FDCWD, "missing", &attributes, sizeof attributes, 0);
    TRY(file_setattr, AT_FDCWD, "a", &attributes, sizeof attributes, 0);
    TRY(file_setattr, AT_FDCWD, "a", WILD, sizeof attributes, 0);
    TRY(file_setattr, AT_FDCWD, "a", &attributes, sizeof attributes, 1);
}

static void handles(void)
{
    struct {
        struct file_handle head;
        unsigned char bytes[MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}}, short_ = {.head = {.handle_bytes = 0}};
    uint64_t mount = 0;
    TRY(name_to_handle_at, AT_FDCWD, "a", &short_, &mount, 0);
    SHOW(short_.head.handle_bytes > 0);
    long known = TRY(name_to_handle_at, AT_FDCWD, "a", &handle, &mount, 0);
    TRY(name_to_handle_at, AT_FDCWD, "link", &handle, &mount, AT_SYMLINK_FOLLOW);
    TRY(name_to_handle_at, PLAIN_FD, "", &handle, &mount, AT_EMPTY_PATH);
    TRY(name_to_handle_at, AT_FDCWD, "missing", &handle, &mount, 0);
    TRY(name_to_handle_at, AT_FDCWD, "a", WILD, &mount, 0);
    TRY(name_to_handle_at, AT_FDCWD, "a", &handle, WILD, 0);
    TRY(name_to_handle_at, AT_FDCWD, "a", &handle, &mount, 0x10);
    int here = (int)OKAY(open(".", O_RDONLY | O_DIRECTORY));
    if (known == 0) {
        long again = TRY(open_by_handle_at, here, &handle, O_RDONLY);
        if (again >= 0)
            close((int)again);
    }
    handle.head.handle_bytes = 1000;
    TRY(open_by_handle_at, here, &handle, O_RDONLY);
    TRY(open_by_handle_at, here, WILD, O_RDONLY);
    memset(&handle, 0, sizeof handle);
    handle.head.handle_bytes = 8;
    TRY(open_by_handle_at, here, &handle, O_RDONLY);
    TRY(open_by_handle_at, 50, &handle, O_RDONLY);
    close(here);
}

int main(void)
{
    make_file("a", "content");
    OKAY(symlink("a", "link"));
    EQUAL(open("a", O_RDWR), PLAIN_FD);
    by_path();
    by_descriptor();
    by_directory();
    of_inodes();
    handles();
    OKAY(unlink("a"));
    OKAY(unlink("link"));
    return ok("rows_attributes");
}
