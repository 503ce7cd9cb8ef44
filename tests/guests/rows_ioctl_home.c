/*
 * ioctl: the commands that bring a process home, since what they point at points further or has no length
 * of its own; each in a program of its own, on descriptors that refuse it.
 */
#include "shown.h"

#define COMMAND(name, code) {#name, code}

static const struct command {
    const char *name;
    unsigned code;
} commands[] = {
    COMMAND(BLKPG, 0x1269), COMMAND(SG_IO, 0x2285), COMMAND(GIO_FONT, 0x4b60), COMMAND(PIO_FONT, 0x4b61),
    COMMAND(GIO_UNIMAP, 0x4b66), COMMAND(PIO_UNIMAP, 0x4b67), COMMAND(GIO_FONTX, 0x4b6b),
    COMMAND(PIO_FONTX, 0x4b6c), COMMAND(KDFONTOP, 0x4b72), COMMAND(SIOCADDRT, 0x890b),
    COMMAND(SIOCDELRT, 0x890c), COMMAND(SIOCGIFBR, 0x8940), COMMAND(SIOCSIFBR, 0x8941),
    COMMAND(SIOCETHTOOL, 0x8946), COMMAND(SIOCSHWTSTAMP, 0x89b0), COMMAND(SIOCGHWTSTAMP, 0x89b1),
    COMMAND(USBDEVFS_REAPURB, 0x4008550c), COMMAND(USBDEVFS_REAPURBNDELAY, 0x4008550d),
    COMMAND(BTRFS_IOC_SEND, 0x40489426), COMMAND(FS_IOC_ENABLE_VERITY, 0x40806685),
    COMMAND(BTRFS_IOC_SNAP_CREATE_V2, 0x50009417), COMMAND(BTRFS_IOC_SUBVOL_CREATE_V2, 0x50009418),
    COMMAND(RNDGETPOOL, 0x80085202), COMMAND(TUNGETFILTER, 0x801054db),
    COMMAND(USBDEVFS_DISCSIGNAL, 0x8010550e), COMMAND(USBDEVFS_SUBMITURB, 0x8038550a),
    COMMAND(USBDEVFS_IOCTL, 0xc0105512), COMMAND(USBDEVFS_CONTROL, 0xc0185500),
    COMMAND(USBDEVFS_BULK, 0xc0185502), COMMAND(FS_IOC_READ_VERITY_METADATA, 0xc0286687),
    COMMAND(BTRFS_IOC_INO_PATHS, 0xc0389423), COMMAND(BTRFS_IOC_LOGICAL_INO, 0xc0389424),
    COMMAND(BTRFS_IOC_LOGICAL_INO_V2, 0xc038943b),
};

/* What stays when another program is executed. */
enum { PLAIN = 10, DATAGRAM, NOTHING, CLOSED };

static void make(const struct command *command)
{
    static unsigned char buffer[4096];
    printf("%s:", command->name);
    for (int fd = PLAIN; fd <= CLOSED; fd++) {
        memset(buffer, 0, sizeof buffer);
        long result = RAW(ioctl, fd, command->code, buffer);
        printf(" %s", result == -1 ? strerrorname_np(errno) : "done");
        result = RAW(ioctl, fd, command->code, WILD);
        printf(" %s", result == -1 ? strerrorname_np(errno) : "done");
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        make(&commands[atoi(argv[1])]);
        return fflush(stdout) == 0 ? 0 : GUEST_FAILED;
    }
    make_file("plain", "content");
    EQUAL(dup2((int)OKAY(open("plain", O_RDWR)), PLAIN), PLAIN);
    EQUAL(dup2((int)OKAY(socket(AF_INET, SOCK_DGRAM, 0)), DATAGRAM), DATAGRAM);
    EQUAL(dup2((int)OKAY(open("/dev/null", O_RDWR)), NOTHING), NOTHING);
    for (size_t at = 0; at < sizeof commands / sizeof *commands; at++) {
        char number[16];
        snprintf(number, sizeof number, "%zu", at);
        char *again[] = {argv[0], number, NULL};
        pid_t child = CHILD({
            execv("/proc/self/exe", again);
            _exit(GUEST_FAILED);
        });
        EXITS(child, 0);
    }
    OKAY(unlink("plain"));
    return ok("rows_ioctl_home");
}
