/* User and group ids and capabilities: set in children, one way after another, and read back. */
#include "shown.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>

#define OTHER 12345

static void show_ids(void)
{
    unsigned ids[3];
    TRY(getresuid, ids, ids + 1, ids + 2);
    show_bytes("users", ids, sizeof ids);
    TRY(getresgid, ids, ids + 1, ids + 2);
    show_bytes("groups", ids, sizeof ids);
    SHOW(RAW(geteuid));
    SHOW(RAW(getegid));
    SHOW(RAW(getuid) + RAW(getgid));
    SHOW(RAW(setfsuid, -1));
    SHOW(RAW(setfsgid, -1));
}

static void show_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    TRY(capget, &head, data);
    show_bytes("capabilities", data, sizeof data);
}

static void capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    show_capabilities();
    head.pid = getpid();
    TRY(capget, &head, data);
    head.pid = getppid();
    TRY(capget, &head, data);
    TRY(capset, &head, data);
    head.pid = -1;
    TRY(capget, &head, data);
    TRY(capset, &head, data);
    head.pid = 0x7ffffffe;
    TRY(capget, &head, data);
    head = (struct __user_cap_header_struct){0x77, 0};
    TRY(capget, &head, NULL);
    SHOW(head.version);
    head.version = 0x77;
    TRY(capget, &head, data);
    SHOW(head.version);
    head.version = 0x77;
    TRY(capset, &head, data);
    SHOW(head.version);
    head.version = _LINUX_CAPABILITY_VERSION_1;
    TRY(capget, &head, data);
    show_bytes("of the first version", data, 12);
    head.version = _LINUX_CAPABILITY_VERSION_3;
    TRY(capget, &head, WILD);
    TRY(capget, &head, NULL);
    TRY(capget, WILD, data);
    TRY(capset, &head, WILD);
    TRY(capset, WILD, data);
    APART({
        OKAY(RAW(capget, &head, data));
        data[0].effective &= ~(1u << CAP_CHOWN);
        TRY(capset, &head, data);
        show_capabilities();
        data[0].inheritable |= 1u << CAP_CHOWN;
        TRY(capset, &head, data);
        data[0] = data[1] = (struct __user_cap_data_struct){0};
        TRY(capset, &head, data);
        show_capabilities();
        data[0].permitted = 1;
        TRY(capset, &head, data);
        // And what a program executed gets.
        fflush(stdout);
        execl("/bin/grep", "grep", "Cap", "/proc/self/status", NULL);
    });
}

static void users(void)
{
    APART({
        TRY(setreuid, -1, OTHER);
        show_ids();
        TRY(setreuid, -1, getuid());
        show_capabilities();
        TRY(setreuid, OTHER, OTHER);
        TRY(setreuid, 0, -1);
        show_ids();
        show_capabilities();
    });
    APART({
        TRY(setresuid, -1, -1, -1);
        TRY(setresuid, OTHER, -1, -1);
        TRY(setresuid, -1, OTHER, OTHER);
        show_ids();
        TRY(setresuid, 0, 0, 0);
    });
    APART({
        TRY(setuid, -1);
        TRY(setuid, OTHER);
        show_ids();
        TRY(setuid, getuid());
        TRY(setuid, 0);
        SEE(open("/etc/shadow", O_RDONLY));
    });
    APART({
        OKAY(RAW(prctl, 8, 1, 0, 0, 0)); // PR_SET_KEEPCAPS
        TRY(setuid, OTHER);
        show_capabilities();
    });
    APART({
        TRY(setfsuid, OTHER);
        SHOW(RAW(setfsuid, -1));
        TRY(setfsgid, OTHER);
        SHOW(RAW(setfsgid, -1));
        int fd = open("by-other", O_WRONLY | O_CREAT, 0600);
        SHOW(fd);
    });
    unlink("by-other");
}

static void groups(void)
{
    gid_t some[] = {OTHER, OTHER + 1};
    gid_t list[64] = {0};
    APART({
        TRY(setgroups, 2, some);
        TRY(getgroups, 0, NULL);
        TRY(getgroups, 64, list);
        TRY(getgroups, 1, list);
        TRY(getgroups, -1, list);
        TRY(getgroups, 64, WILD);
        TRY(setgroups, 2, WILD);
        TRY(setgroups, -1, some);
        TRY(setgroups, 70000, some);
        TRY(setgroups, 0, NULL);
    });
    APART({
        TRY(setregid, -1, OTHER);
        show_ids();
        TRY(setregid, OTHER, -1);
        show_ids();
    });
    APART({
        TRY(setresgid, OTHER, OTHER + 1, OTHER + 2);
        show_ids();
        TRY(setresgid, -1, -1, -1);
    });
    APART({
        TRY(setgid, -1);
        TRY(setgid, OTHER);
        show_ids();
    });
    // Those that are set first stay when the user is somebody else.
    APART({
        TRY(setresgid, OTHER, OTHER, OTHER);
        TRY(setgroups, 2, some);
        TRY(setresuid, OTHER, OTHER, OTHER);
        TRY(setgid, 0);
        TRY(setgroups, 1, some);
        TRY(setregid, 0, 0);
        show_ids();
    });
}

int main(void)
{
    unsigned ids[3];
    TRY(getresuid, ids, WILD, ids);
    TRY(getresgid, ids, ids, WILD);
    show_ids();
    capabilities();
    users();
    groups();
    return ok("rows_ids");
}
