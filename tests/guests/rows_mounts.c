/* Calls that mount, swap, and configure the kernel: with their effects for those who may, taken back
 * at once, and with their errors for everybody. */
#include "shown.h"
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/statfs.h>

/* Too new for some C libraries. */
#define FSCONFIG_CMD_CREATE_EXCL 8
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

static void mounts(void)
{
    struct statfs statfs_;
    TRY(mount, "none", "mnt", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0700");
    OKAY(statfs("mnt", &statfs_));
    SHOW(statfs_.f_type == 0x01021994 && statfs_.f_blocks == 16);
    TRY(mount, NULL, "mnt", NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL);
    TRY(mount, NULL, "mnt", NULL, MS_PRIVATE, NULL);
    TRY(umount2, "mnt", MNT_EXPIRE);
    TRY(umount2, "mnt", UMOUNT_NOFOLLOW);
    TRY(umount2, "mnt", 0);
    TRY(umount2, "missing", 0);
    TRY(umount2, "mnt", 0x1000);
    TRY(umount2, WILD, 0);
    TRY(mount, "none", "mnt", "no such type", 0, NULL);
    TRY(mount, "none", "missing", "tmpfs", 0, NULL);
    TRY(mount, "none", WILD, "tmpfs", 0, NULL);
    TRY(mount, "none", "mnt", WILD, 0, NULL);
    TRY(mount, "none", "mnt", NULL, 0, NULL);
    TRY(mount, WILD, "mnt", "tmpfs", 0, NULL);
    TRY(mount, "none", "mnt", "tmpfs", 0, WILD);
    TRY(mount, "missing", "mnt", NULL, MS_BIND, NULL);
    TRY(mount, "none", "mnt", "tmpfs", 0, "size=nonsense");
    TRY(pivot_root, "missing", "mnt");
    TRY(pivot_root, "mnt", "mnt");
    TRY(pivot_root, WILD, "mnt");
    TRY(chroot, "missing");
    TRY(chroot, "file");
    TRY(chroot, WILD);
    APART({
        if (TRY(chroot, "mnt") == 0) {
            struct stat stat_;
            OKAY(stat("/", &stat_));
            FAILS(open("/etc/passwd", O_RDONLY), ENOENT);
        }
    });
}

static void trees(void)
{
    TRY(open_tree, AT_FDCWD, "missing", 0);
    TRY(open_tree, AT_FDCWD, "mnt", 0x40000000);
    TRY(open_tree, AT_FDCWD, WILD, 0);
    TRY(open_tree, AT_FDCWD, "mnt", AT_RECURSIVE);
    int tree = (int)TRY(open_tree, AT_FDCWD, "mnt", O_CLOEXEC);
    struct {
        uint64_t set, clear, propagation, userns;
    } attributes = {.set = 1}, odd = {.set = 1UL << 40};
    TRY(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    TRY(mount_setattr, tree, "", AT_EMPTY_PATH, &odd, sizeof odd);
    TRY(mount_setattr, AT_FDCWD, "missing", 0, &attributes, sizeof attributes);
    TRY(mount_setattr, AT_FDCWD, "mnt", 0, WILD, sizeof attributes);
    TRY(mount_setattr, AT_FDCWD, "mnt", 0, &attributes, 4);
    TRY(mount_setattr, AT_FDCWD, "mnt", 0x10000, &attributes, sizeof attributes);
    TRY(move_mount, tree, "", AT_FDCWD, "mnt", MOVE_MOUNT_F_EMPTY_PATH);
    TRY(move_mount, AT_FDCWD, "missing", AT_FDCWD, "mnt", 0);
    TRY(move_mount, AT_FDCWD, "mnt", AT_FDCWD, "mnt", 0x10000);
    TRY(move_mount, -1, "", -1, "", MOVE_MOUNT_F_EMPTY_PATH);
    OKAY(close(tree));
    tree = (int)TRY(open_tree, AT_FDCWD, "mnt", OPEN_TREE_CLONE);
    if (tree != -1) {
        TRY(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
        OKAY(close(tree));
    }
    TRY(open_tree_attr, AT_FDCWD, "missing", OPEN_TREE_CLONE, &attributes, sizeof attributes);
    TRY(open_tree_attr, AT_FDCWD, "mnt", OPEN_TREE_CLONE, WILD, sizeof attributes);
    tree = (int)TRY(open_tree_attr, AT_FDCWD, "mnt", OPEN_TREE_CLONE, &attributes, sizeof attributes);
    close(tree);
    TRY(fspick, AT_FDCWD, "missing", 0);
    TRY(fspick, AT_FDCWD, "mnt", 0x10000);
    TRY(fspick, AT_FDCWD, "mnt", 0);
}

static void contexts(void)
{
    TRY(fsopen, "no such type", 0);
    TRY(fsopen, "tmpfs", 0x10);
    TRY(fsopen, WILD, 0);
    TRY(fsconfig, -1, FSCONFIG_SET_FLAG, "ro", NULL, 0);
    TRY(fsconfig, 0, FSCONFIG_SET_FLAG, "ro", NULL, 0);
    TRY(fsmount, -1, 0, 0);
    TRY(fsmount, 0, 0, 0);
    int context = (int)TRY(fsopen, "tmpfs", 1);
    if (context == -1)
        return;
    TRY(fsconfig, context, FSCONFIG_SET_FLAG, "ro", NULL, 0);
    TRY(fsconfig, context, FSCONFIG_SET_FLAG, "ro", WILD, 0);
    TRY(fsconfig, context, FSCONFIG_SET_STRING, "size", "64k", 0);
    TRY(fsconfig, context, FSCONFIG_SET_STRING, "size", "nonsense", 0);
    char text[256];
    // What the kernel says of it.
    long length = SEE(read(context, text, sizeof text - 1));
    if (length > 0)
        printf("  %.*s\n", (int)length, text);
    TRY(fsconfig, context, FSCONFIG_SET_STRING, "size", WILD, 0);
    TRY(fsconfig, context, FSCONFIG_SET_STRING, WILD, "64k", 0);
    TRY(fsconfig, context, FSCONFIG_SET_STRING, "no such key", "64k", 0);
    TRY(fsconfig, context, FSCONFIG_SET_BINARY, "size", "64k", 3);
    TRY(fsconfig, context, FSCONFIG_SET_PATH, "source", "mnt", AT_FDCWD);
    TRY(fsconfig, context, FSCONFIG_SET_PATH_EMPTY, "source", "", 0);
    TRY(fsconfig, context, FSCONFIG_SET_FD, "source", NULL, 0);
    TRY(fsconfig, context, 99, "source", NULL, 0);
    TRY(fsmount, context, 0, 0);
    TRY(fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
    TRY(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    TRY(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    TRY(fsconfig, context, FSCONFIG_CMD_CREATE_EXCL, NULL, NULL, 0);
    TRY(fsmount, context, 0x10, 0);
    int mounted = (int)TRY(fsmount, context, 1, 1);
    OKAY(close(context));
    if (mounted == -1)
        return;
    TRY(move_mount, mounted, "", AT_FDCWD, "mnt", MOVE_MOUNT_F_EMPTY_PATH);
    TRY(umount2, "mnt", MNT_DETACH);
    OKAY(close(mounted));
}

static void described(void)
{
    struct {
        uint32_t size, spare;
        uint64_t id, param;
    } request = {sizeof request, 0, -1UL, 2}, wrong = {4, 0, 0, 0};
    uint64_t ids[512];
    char buffer[1024] = {0};
    struct {
        struct statx known;
    } at;
    TRY(statmount, &request, buffer, sizeof buffer, 1);
    TRY(statmount, &wrong, buffer, sizeof buffer, 0);
    TRY(statmount, WILD, buffer, sizeof buffer, 0);
    // STATX_MNT_ID_UNIQUE
    if (syscall(SYS_statx, AT_FDCWD, "/proc", 0, 0x4000, &at.known) == 0) {
        memcpy(&request.id, (char *)&at.known + 0x90, 8);
        TRY(statmount, &request, buffer, sizeof buffer, 0);
        SHOW(((uint64_t *)buffer)[1]);
        SHOW(((uint32_t *)buffer)[0]);
        TRY(statmount, &request, buffer, 16, 0);
        TRY(statmount, &request, WILD, 512, 0);
    }
    request.id = -1UL, request.param = 0;
    TRY_SOME(listmount, &request, ids, 512, 0);
    TRY(listmount, &request, ids, 1, 0);
    TRY(listmount, &request, ids, 0, 0);
    TRY(listmount, &request, ids, 512, 0x100);
    TRY(listmount, &request, WILD, 1, 0);
    TRY(listmount, &wrong, ids, 512, 0);
    request.id = 1;
    TRY(listmount, &request, ids, 512, 0);
}

static void quotas(void)
{
    char data[256] = {0};
    static const struct {
        const char *name;
        int command;
    } all[] = {
        {"Q_XQUOTAON", 0x5801},   {"Q_XQUOTAOFF", 0x5802},  {"Q_XGETQUOTA", 0x5803}, {"Q_XSETQLIM", 0x5804},
        {"Q_XGETQSTAT", 0x5805},  {"Q_XQUOTARM", 0x5806},   {"Q_XQUOTASYNC", 0x5807}, {"Q_XGETQSTATV", 0x5808},
        {"Q_XGETNEXTQUOTA", 0x5809}, {"Q_QUOTAON", Q_QUOTAON}, {"Q_QUOTAOFF", Q_QUOTAOFF},
        {"Q_GETFMT", Q_GETFMT},   {"Q_GETINFO", Q_GETINFO}, {"Q_SETINFO", Q_SETINFO}, {"Q_GETQUOTA", Q_GETQUOTA},
        {"Q_SETQUOTA", Q_SETQUOTA}, {"Q_GETNEXTQUOTA", 0x800009}, {"unknown", 0x800077},
    };
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        printf("%s: ", all[at].name);
        TRY(quotactl, QCMD(all[at].command, USRQUOTA), "mnt", getuid(), data);
        printf("%s: ", all[at].name);
        TRY(quotactl, QCMD(all[at].command, USRQUOTA), "missing", getuid(), WILD);
        printf("%s: ", all[at].name);
        TRY(quotactl_fd, -1, QCMD(all[at].command, USRQUOTA), getuid(), data);
        int here = (int)OKAY(open("mnt", O_RDONLY));
        printf("%s: ", all[at].name);
        TRY(quotactl_fd, here, QCMD(all[at].command, USRQUOTA), getuid(), data);
        OKAY(close(here));
    }
    TRY(quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL);
    TRY(quotactl, QCMD(Q_SYNC, 77), "mnt", 0, NULL);
    TRY(quotactl, QCMD(Q_GETFMT, USRQUOTA), WILD, 0, data);
}

int main(void)
{
    OKAY(mkdir("mnt", 0700));
    make_file("file", "");
    mounts();
    trees();
    contexts();
    described();
    quotas();
    OKAY(rmdir("mnt"));
    OKAY(unlink("file"));
    return ok("rows_mounts");
}
