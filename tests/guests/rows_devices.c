/* Devices and what else has commands of its own: loop and tun devices, the random number generator, consoles,
 * namespaces, processes by descriptor, inodes. For those who may not open them that is all there is to see. */
#include "shown.h"
#include <linux/blkzoned.h>
#include <linux/fs.h>
#include <linux/fiemap.h>
#include <linux/hdreg.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/kd.h>
#include <linux/loop.h>
#include <linux/nsfs.h>
#include <linux/random.h>
#include <linux/vt.h>
#include <sys/sysmacros.h>

#define SECTOR 512

static void as_blocks(int device)
{
    uint64_t large = 0, range[2] = {0, 4096};
    unsigned number = 0;
    unsigned short half = 0;
    struct hd_geometry geometry;
    TRY(ioctl, device, BLKGETSIZE, &large);
    SHOW(large);
    TRY(ioctl, device, BLKGETSIZE64, &large);
    SHOW(large);
    TRY(ioctl, device, BLKSSZGET, &number);
    SHOW(number);
    TRY(ioctl, device, BLKBSZGET, &number);
    SHOW(number);
    TRY(ioctl, device, BLKBSZSET, (&(int){1024}));
    TRY(ioctl, device, BLKBSZSET, (&(int){77}));
    TRY(ioctl, device, BLKPBSZGET, &number);
    TRY(ioctl, device, BLKIOMIN, &number);
    TRY(ioctl, device, BLKIOOPT, &number);
    TRY(ioctl, device, BLKALIGNOFF, &number);
    TRY(ioctl, device, BLKDISCARDZEROES, &number);
    TRY(ioctl, device, BLKROTATIONAL, &half);
    TRY(ioctl, device, BLKSECTGET, &half);
    TRY(ioctl, device, BLKRAGET, &large);
    TRY(ioctl, device, BLKFRAGET, &large);
    TRY(ioctl, device, BLKRASET, 128);
    TRY(ioctl, device, BLKFRASET, 128);
    TRY(ioctl, device, BLKRAGET, &large);
    SHOW(large);
    TRY(ioctl, device, BLKROGET, &number);
    SHOW(number);
    TRY(ioctl, device, BLKROSET, (&(int){1}));
    TRY(ioctl, device, BLKROGET, &number);
    SHOW(number);
    TRY(ioctl, device, BLKROSET, (&(int){0}));
    TRY(ioctl, device, BLKROSET, WILD);
    TRY(ioctl, device, BLKFLSBUF, 0);
    TRY(ioctl, device, BLKRRPART, 0);
    TRY(ioctl, device, BLKDISCARD, range);
    TRY(ioctl, device, BLKSECDISCARD, range);
    TRY(ioctl, device, BLKZEROOUT, range);
    range[0] = 77;
    TRY(ioctl, device, BLKZEROOUT, range);
    TRY(ioctl, device, BLKZEROOUT, WILD);
    TRY(ioctl, device, BLKGETDISKSEQ, &large);
    char zones[64] = {0};
    TRY(ioctl, device, BLKREPORTZONE, zones);
    TRY(ioctl, device, BLKTRACESTART, 0);
    TRY(ioctl, device, BLKTRACESTOP, 0);
    TRY(ioctl, device, BLKTRACETEARDOWN, 0);
    TRY(ioctl, device, HDIO_GETGEO, &geometry);
    char identity[SECTOR];
    TRY(ioctl, device, HDIO_GET_IDENTITY, identity);
    TRY(ioctl, device, 0x5382 /* SCSI_IOCTL_GET_IDLUN */, identity);
    TRY(ioctl, device, 0x5386 /* SCSI_IOCTL_GET_BUS_NUMBER */, identity);
    TRY(ioctl, device, FIFREEZE, 0);
    TRY(ioctl, device, FITHAW, 0);
}

/* A device of its own number, by a node of its own. */
static void loops(void)
{
    int control = (int)SEE(open("/dev/loop-control", O_RDWR));
    if (control == -1)
        return;
    CHECK(RAW(ioctl, control, LOOP_CTL_GET_FREE, 0) >= 0);
    int number = 100000 + getpid() % 100000;
    if (RAW(ioctl, control, LOOP_CTL_ADD, number) != number) {
        SHOW(errno);
        return;
    }
    TRY(ioctl, control, LOOP_CTL_ADD, number);
    struct stat stat_;
    char name[64];
    // Who puts nodes into /dev is not always there.
    snprintf(name, sizeof name, "/sys/block/loop%d/dev", number);
    int major_ = 0, minor_ = 0;
    EQUAL(sscanf(file_text(name), "%d:%d", &major_, &minor_), 2);
    OKAY(mknod("node", S_IFBLK | 0600, makedev((unsigned)major_, (unsigned)minor_)));
    int backing = (int)OKAY(open("image", O_RDWR | O_CREAT, 0600)), other = (int)OKAY(dup(backing));
    OKAY(ftruncate(backing, 64 * SECTOR));
    int device = (int)SEE(open("node", O_RDWR));
    if (device != -1) {
        struct loop_info info = {0};
        struct loop_info64 info64 = {0};
        struct loop_config config = {.fd = (unsigned)backing, .block_size = SECTOR};
        TRY(ioctl, device, LOOP_GET_STATUS64, &info64);
        TRY(ioctl, device, LOOP_CLR_FD, 0);
        TRY(ioctl, device, LOOP_SET_FD, 99);
        TRY(ioctl, device, LOOP_SET_FD, backing);
        TRY(ioctl, device, LOOP_SET_FD, backing);
        TRY(ioctl, device, LOOP_GET_STATUS64, &info64);
        OKAY(fstat(backing, &stat_));
        SHOW(info64.lo_inode == stat_.st_ino);
        info64.lo_offset = SECTOR;
        strcpy((char *)info64.lo_file_name, "given");
        TRY(ioctl, device, LOOP_SET_STATUS64, &info64);
        TRY(ioctl, device, LOOP_GET_STATUS, &info);
        SHOW(info.lo_offset);
        SAME_TEXT(info.lo_name, "given");
        info.lo_offset = 0;
        TRY(ioctl, device, LOOP_SET_STATUS, &info);
        TRY(ioctl, device, LOOP_SET_STATUS64, WILD);
        TRY(ioctl, device, LOOP_GET_STATUS64, WILD);
        TRY(ioctl, device, LOOP_SET_CAPACITY, 0);
        TRY(ioctl, device, LOOP_SET_BLOCK_SIZE, 1024);
        TRY(ioctl, device, LOOP_SET_BLOCK_SIZE, 77);
        TRY(ioctl, device, LOOP_SET_DIRECT_IO, 0);
        TRY(ioctl, device, LOOP_CHANGE_FD, other);
        TRY(pwrite64, device, "written", 7, 4096);
        TRY(fsync, device);
        char text[8] = {0};
        OKAY(pread(backing, text, 7, 4096));
        SAME_TEXT(text, "written");
        as_blocks(device);
        TRY(ioctl, device, LOOP_CLR_FD, 0);
        OKAY(close(device));
        device = (int)OKAY(open("node", O_RDWR));
        TRY(ioctl, device, LOOP_CONFIGURE, &config);
        TRY(ioctl, device, LOOP_CONFIGURE, WILD);
        TRY(ioctl, device, LOOP_CLR_FD, 0);
        OKAY(close(device));
    }
    TRY(ioctl, control, LOOP_CTL_REMOVE, -1);
    long removed = -1;
    // Whoever looks at new devices (udev) may hold it for a moment.
    for (int tries = 0; removed == -1 && tries < 1000; tries++) {
        removed = RAW(ioctl, control, LOOP_CTL_REMOVE, number);
        if (removed == -1)
            pause_ms(5);
    }
    CHECK(removed != -1);
    OKAY(unlink("node"));
    OKAY(unlink("image"));
    OKAY(close(control));
}

static void tunnels(void)
{
    int fd = (int)SEE(open("/dev/net/tun", O_RDWR));
    if (fd == -1)
        return;
    struct ifreq request = {.ifr_name = "hnrows%d", .ifr_flags = IFF_TAP | IFF_NO_PI};
    unsigned number = 0;
    TRY(ioctl, fd, TUNGETFEATURES, &number);
    SHOW(number);
    TRY(ioctl, fd, TUNSETIFF, WILD);
    TRY(ioctl, fd, TUNGETIFF, &request);
    strcpy(request.ifr_name, "hnrows%d");
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (TRY(ioctl, fd, TUNSETIFF, &request) == 0) {
        CHECK(strncmp(request.ifr_name, "hnrows", 6) == 0 && request.ifr_name[6] != '%');
        memset(&request, 0, sizeof request);
        TRY(ioctl, fd, TUNGETIFF, &request);
        SHOW(request.ifr_flags);
        TRY(ioctl, fd, TUNSETIFF, &request);
        TRY(ioctl, fd, TUNSETNOCSUM, 0);
        TRY(ioctl, fd, TUNSETDEBUG, 0);
        TRY(ioctl, fd, TUNSETOWNER, getuid());
        TRY(ioctl, fd, TUNSETGROUP, getgid());
        TRY(ioctl, fd, TUNSETLINK, 1);
        TRY(ioctl, fd, TUNSETLINK, 100000);
        TRY(ioctl, fd, TUNSETOFFLOAD, 0);
        TRY(ioctl, fd, TUNSETOFFLOAD, -1);
        TRY(ioctl, fd, TUNSETPERSIST, 0);
        TRY(ioctl, fd, TUNSETQUEUE, &request);
        struct {
            unsigned short flags, count;
            unsigned char addresses[2][6];
        } filter = {0, 2, {{1}, {2}}};
        TRY(ioctl, fd, TUNSETTXFILTER, &filter);
        TRY(ioctl, fd, TUNSETTXFILTER, WILD);
        TRY(ioctl, fd, TUNGETSNDBUF, &number);
        SHOW(number);
        struct {
            unsigned short length;
            struct {
                unsigned short code;
                unsigned char yes, no;
                unsigned value;
            } *filter;
        } program = {1, (void *)(&(uint64_t){6 | 0xffffUL << 32})};
        TRY(ioctl, fd, TUNATTACHFILTER, &program);
        TRY(ioctl, fd, TUNDETACHFILTER, &program);
        long space = RAW(ioctl, fd, TUNGETDEVNETNS, 0);
        SHOW(space == -1 ? -errno : 0);
        if (space != -1)
            OKAY(close((int)space));
        TRY(read, fd, request.ifr_name, 0);
        TRY(write, fd, "short", 5);
    }
    OKAY(close(fd));
}

static void random_numbers(void)
{
    int fd = (int)OKAY(open("/dev/urandom", O_RDWR));
    int count = 0;
    struct {
        int bits, bytes;
        char data[8];
    } more = {0, 8, "entropy"};
    TRY(ioctl, fd, RNDGETENTCNT, &count);
    SHOW(count > 0);
    TRY(ioctl, fd, RNDADDENTROPY, &more);
    more.bytes = -1;
    TRY(ioctl, fd, RNDADDENTROPY, &more);
    TRY(ioctl, fd, RNDADDENTROPY, WILD);
    TRY(ioctl, fd, RNDADDTOENTCNT, (&(int){-1}));
    TRY(ioctl, fd, RNDRESEEDCRNG, 0);
    TRY(ioctl, fd, RNDZAPENTCNT, 0);
    TRY(ioctl, fd, RNDCLEARPOOL, 0);
    TRY(ioctl, fd, 0x5299, 0);
    OKAY(close(fd));
}

/* Only asked: it may be somebody's screen. */
static void consoles(void)
{
    int fd = (int)SEE(open("/dev/tty0", O_RDONLY | O_NOCTTY));
    if (fd == -1)
        return;
    static const struct {
        const char *name;
        unsigned code, bytes;
    } asked[] = {
        {"KDGETLED", KDGETLED, 1},       {"KDGKBTYPE", KDGKBTYPE, 1},     {"KDGETMODE", KDGETMODE, 4},
        {"GIO_SCRNMAP", GIO_SCRNMAP, 256}, {"KDGKBMODE", KDGKBMODE, 4},   {"KDGKBENT", KDGKBENT, 4},
        {"KDGKBSENT", KDGKBSENT, 513},   {"KDGKBDIACR", KDGKBDIACR, 772}, {"KDGETKEYCODE", KDGETKEYCODE, 8},
        {"KDGKBMETA", KDGKBMETA, 4},     {"KDGKBLED", KDGKBLED, 1},       {"GIO_UNISCRNMAP", GIO_UNISCRNMAP, 512},
        {"GIO_CMAP", GIO_CMAP, 48},      {"VT_OPENQRY", VT_OPENQRY, 4},   {"VT_GETMODE", VT_GETMODE, 8},
        {"VT_GETSTATE", VT_GETSTATE, 6}, {"VT_GETHIFONTMASK", VT_GETHIFONTMASK, 2},
    };
    for (size_t at = 0; at < sizeof asked / sizeof *asked; at++) {
        char out[1024] = {0};
        printf("%s: ", asked[at].name);
        TRY(ioctl, fd, asked[at].code, out);
        show_bytes("out", out, sizeof out);
        printf("%s: ", asked[at].name);
        TRY(ioctl, fd, asked[at].code, WILD);
    }
    OKAY(close(fd));
}

static void namespaces(void)
{
    int user = (int)OKAY(open("/proc/self/ns/user", O_RDONLY)), uts = (int)OKAY(open("/proc/self/ns/uts", O_RDONLY));
    unsigned owner = 77;
    TRY(ioctl, user, NS_GET_NSTYPE, 0);
    TRY(ioctl, uts, NS_GET_NSTYPE, 0);
    TRY(ioctl, user, NS_GET_OWNER_UID, &owner);
    SHOW(owner);
    TRY(ioctl, uts, NS_GET_OWNER_UID, &owner);
    TRY(ioctl, user, NS_GET_OWNER_UID, WILD);
    long parent = TRY_SOME(ioctl, uts, NS_GET_PARENT, 0), of = TRY_SOME(ioctl, uts, NS_GET_USERNS, 0);
    TRY_SOME(ioctl, user, NS_GET_PARENT, 0);
    CHECK(parent == -1);
    if (of != -1)
        OKAY(close((int)of));
    OKAY(close(user));
    OKAY(close(uts));
}

static void processes(void)
{
    static const struct {
        const char *name;
        unsigned code;
    } all[] = {
        {"PIDFD_GET_CGROUP_NAMESPACE", 0xff01}, {"PIDFD_GET_IPC_NAMESPACE", 0xff02},
        {"PIDFD_GET_MNT_NAMESPACE", 0xff03},    {"PIDFD_GET_NET_NAMESPACE", 0xff04},
        {"PIDFD_GET_PID_NAMESPACE", 0xff05},    {"PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE", 0xff06},
        {"PIDFD_GET_TIME_NAMESPACE", 0xff07},   {"PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE", 0xff08},
        {"PIDFD_GET_USER_NAMESPACE", 0xff09},   {"PIDFD_GET_UTS_NAMESPACE", 0xff0a},
    };
    int pidfd = (int)OKAY(RAW(pidfd_open, getpid(), 0));
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        printf("%s: ", all[at].name);
        long space = TRY_SOME(ioctl, pidfd, all[at].code, 0);
        if (space != -1)
            OKAY(close((int)space));
        printf("%s: ", all[at].name);
        TRY(ioctl, pidfd, all[at].code, 1);
    }
    uint64_t info[16] = {1};
    TRY(ioctl, pidfd, 0xc040ff0b /* PIDFD_GET_INFO */, info);
    SHOW(((unsigned *)info)[4] == (unsigned)getpid());
    TRY(ioctl, pidfd, 0xc040ff0b, WILD);
    OKAY(close(pidfd));
}

static void inodes(void)
{
    int fd = (int)OKAY(open("inode", O_RDWR | O_CREAT, 0600)), other = (int)OKAY(open("copy", O_RDWR | O_CREAT, 0600));
    OKAY(pwrite(fd, "0123456789abcdef", 16, 0));
    OKAY(fsync(fd));
    unsigned flags = 0;
    int64_t size = 0;
    TRY(ioctl, fd, FIGETBSZ, &flags);
    SHOW(flags);
    TRY(ioctl, fd, FIOQSIZE, &size);
    SHOW(size);
    TRY(ioctl, fd, FIBMAP, WILD);
    TRY(ioctl, fd, FIONREAD, &flags);
    SHOW(flags);
    TRY(ioctl, fd, FS_IOC_GETFLAGS, &flags);
    flags |= FS_NODUMP_FL;
    TRY(ioctl, fd, FS_IOC_SETFLAGS, &flags);
    flags = 0;
    TRY(ioctl, fd, FS_IOC_GETFLAGS, &flags);
    SHOW(flags);
    TRY(ioctl, fd, FS_IOC_SETFLAGS, WILD);
    TRY(ioctl, fd, FS_IOC_GETVERSION, &flags);
    TRY(ioctl, fd, FS_IOC_SETVERSION, (&(int){77}));
    struct fsxattr attributes = {0};
    TRY(ioctl, fd, FS_IOC_FSGETXATTR, &attributes);
    TRY(ioctl, fd, FS_IOC_FSSETXATTR, &attributes);
    char label[FSLABEL_MAX] = {0};
    TRY(ioctl, fd, FS_IOC_GETFSLABEL, label);
    TRY(ioctl, other, FICLONE, fd);
    TRY(ioctl, other, FICLONE, 99);
    struct file_clone_range range = {.src_fd = fd, .src_length = 16};
    TRY(ioctl, other, FICLONERANGE, &range);
    struct {
        struct file_dedupe_range head;
        struct file_dedupe_range_info of[1];
    } same = {{.src_length = 16, .dest_count = 1}, {{.dest_fd = other}}};
    TRY(ioctl, fd, FIDEDUPERANGE, &same);
    SHOW(same.of[0].status);
    same.head.dest_count = 0;
    TRY(ioctl, fd, FIDEDUPERANGE, &same);
    TRY(ioctl, fd, FIDEDUPERANGE, WILD);
    struct {
        struct fiemap head;
        struct fiemap_extent extents[2];
    } map = {{.fm_length = -1UL, .fm_extent_count = 2}, {{0}}};
    TRY(ioctl, fd, FS_IOC_FIEMAP, &map);
    SHOW(map.head.fm_mapped_extents);
    SHOW(map.extents[0].fe_length);
    TRY(ioctl, fd, FS_IOC_FIEMAP, WILD);
    TRY(ioctl, fd, FITRIM, WILD);
    uint64_t hint = RWH_WRITE_LIFE_SHORT;
    TRY(fcntl, fd, F_SET_RW_HINT, &hint);
    hint = 77;
    TRY(fcntl, fd, F_GET_RW_HINT, &hint);
    SHOW(hint);
    TRY(fcntl, fd, F_GET_FILE_RW_HINT, &hint);
    TRY(fcntl, fd, F_SET_FILE_RW_HINT, &hint);
    TRY(fcntl, fd, F_SET_RW_HINT, WILD);
    hint = 77;
    TRY(fcntl, fd, F_SET_RW_HINT, &hint);
    printf("F_DUPFD_QUERY: ");
    TRY(fcntl, fd, 1027, other);
    printf("F_DUPFD_QUERY: ");
    TRY(fcntl, fd, 1027, fd);
    printf("F_CREATED_QUERY: ");
    TRY(fcntl, fd, 1028, 0);
    TRY(fcntl, fd, 1029, 0);
    OKAY(close(fd));
    OKAY(close(other));
    OKAY(unlink("inode"));
    OKAY(unlink("copy"));
}

int main(void)
{
    loops();
    tunnels();
    random_numbers();
    consoles();
    namespaces();
    processes();
    inodes();
    return ok("rows_devices");
}
