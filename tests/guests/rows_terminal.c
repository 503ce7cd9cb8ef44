/* Terminals: their modes in every form, windows, sessions, packets, breaks, and who is in front. */
#include "shown.h"
#include <asm/termbits.h>
#include <sys/ttydefaults.h>

static int master, slave;

static void modes(void)
{
    struct termios modes_ = {0};
    struct termios2 more = {0};
    struct termio old = {0};
    char locked[64] = {0};
    TRY(ioctl, slave, TCGETS, &modes_);
    show_bytes("modes", &modes_, sizeof modes_);
    modes_.c_lflag &= ~(unsigned)(ECHO | ICANON);
    modes_.c_cc[VMIN] = 3;
    TRY(ioctl, slave, TCSETS, &modes_);
    modes_.c_oflag &= ~(unsigned)OPOST;
    TRY(ioctl, slave, TCSETSW, &modes_);
    TRY(ioctl, slave, TCSETSF, &modes_);
    TRY(ioctl, slave, TCGETS2, &more);
    show_bytes("modes", &more, sizeof more);
    more.c_ospeed = more.c_ispeed = 12345;
    more.c_cflag = (more.c_cflag & ~(unsigned)CBAUD) | BOTHER;
    TRY(ioctl, slave, TCSETS2, &more);
    TRY(ioctl, slave, TCSETSW2, &more);
    TRY(ioctl, slave, TCSETSF2, &more);
    memset(&more, 0, sizeof more);
    TRY(ioctl, master, TCGETS2, &more);
    SHOW(more.c_ospeed);
    TRY(ioctl, slave, TCGETA, &old);
    show_bytes("modes", &old, sizeof old);
    old.c_lflag |= ISIG;
    TRY(ioctl, slave, TCSETA, &old);
    TRY(ioctl, slave, TCSETAW, &old);
    TRY(ioctl, slave, TCSETAF, &old);
    TRY(ioctl, slave, TIOCGLCKTRMIOS, locked);
    TRY(ioctl, slave, TIOCSLCKTRMIOS, locked);
    TRY(ioctl, slave, TCSETS, WILD);
    TRY(ioctl, slave, TCGETS, WILD);
    TRY(ioctl, slave, TCGETX, locked);
    TRY(ioctl, slave, TCSETX, locked);
    TRY(ioctl, slave, TCSETXF, locked);
    TRY(ioctl, slave, TCSETXW, locked);
}

static void queues(void)
{
    int number = 77;
    char text[64] = {0};
    struct pollfd in = {slave, POLLIN, 0}, out = {master, POLLIN, 0};
    OKAY(write(master, "typed", 5));
    EQUAL(poll(&in, 1, 10000), 1);
    TRY(ioctl, slave, FIONREAD, &number);
    SHOW(number);
    TRY(ioctl, slave, TCFLSH, 0);
    TRY(ioctl, slave, FIONREAD, &number);
    SHOW(number);
    TRY(ioctl, slave, TCFLSH, 9);
    OKAY(write(slave, "shown", 5));
    EQUAL(poll(&out, 1, 10000), 1);
    TRY(ioctl, slave, TIOCOUTQ, &number);
    TRY(ioctl, master, FIONREAD, &number);
    SHOW(number);
    TRY(ioctl, slave, TCXONC, 0);
    OKAY(write(slave, "", 0));
    TRY(ioctl, slave, TCXONC, 1);
    TRY(ioctl, slave, TCXONC, 9);
    TRY(ioctl, slave, TCSBRK, 1);
    TRY(ioctl, slave, TCSBRKP, 0);
    TRY(ioctl, slave, TIOCSBRK, 0);
    TRY(ioctl, slave, TIOCCBRK, 0);
    EQUAL(read(master, text, sizeof text), 5);
    TRY(ioctl, slave, TIOCSTI, "x");
    TRY(ioctl, slave, TIOCSTI, WILD);
    TRY(ioctl, slave, TCFLSH, 2);
}

static void packets(void)
{
    int on = 1, got = 0;
    char text[8] = {0};
    TRY(ioctl, master, TIOCPKT, &on);
    TRY(ioctl, master, TIOCGPKT, &got);
    SHOW(got);
    OKAY(write(slave, "p", 1));
    TRY(read, master, text, sizeof text);
    show_bytes("packet", text, sizeof text);
    TRY(ioctl, slave, TCFLSH, 1);
    TRY(read, master, text, sizeof text);
    show_bytes("packet", text, sizeof text);
    on = 0;
    TRY(ioctl, master, TIOCPKT, &on);
    TRY(ioctl, master, TIOCPKT, WILD);
}

static void exclusion(void)
{
    int got = 7, lock = 1, number;
    char name[32];
    TRY(ioctl, slave, TIOCGEXCL, &got);
    SHOW(got);
    TRY(ioctl, slave, TIOCEXCL, 0);
    TRY(ioctl, slave, TIOCGEXCL, &got);
    SHOW(got);
    TRY(ioctl, slave, TIOCNXCL, 0);
    TRY(ioctl, master, TIOCSPTLCK, &lock);
    TRY(ioctl, master, TIOCGPTLCK, &got);
    SHOW(got);
    EQUAL(RAW(ioctl, master, TIOCGPTN, &number), 0);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    SEE(open(name, O_RDWR | O_NOCTTY));
    lock = 0;
    TRY(ioctl, master, TIOCSPTLCK, &lock);
    int peer = (int)OKAY(RAW(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    struct stat one, other;
    OKAY(fstat(peer, &one));
    OKAY(fstat(slave, &other));
    SHOW(one.st_rdev == other.st_rdev);
    OKAY(close(peer));
    unsigned device = 0;
    OKAY(RAW(ioctl, slave, TIOCGDEV, &device));
    SHOW(device == other.st_rdev);
}

static void windows(void)
{
    struct { unsigned short rows, columns, x, y; } window = {20, 70, 1, 2}, got = {0};
    int discipline = 77;
    TRY(ioctl, master, TIOCSWINSZ, &window);
    TRY(ioctl, slave, TIOCGWINSZ, &got);
    show_bytes("window", &got, sizeof got);
    TRY(ioctl, slave, TIOCSWINSZ, WILD);
    TRY(ioctl, slave, TIOCGETD, &discipline);
    SHOW(discipline);
    TRY(ioctl, slave, TIOCSETD, &discipline);
    discipline = 1000;
    TRY(ioctl, slave, TIOCSETD, &discipline);
    TRY(ioctl, slave, TIOCGETD, WILD);
    char other[128] = {0};
    TRY(ioctl, slave, TIOCMGET, other);
    TRY(ioctl, slave, TIOCMSET, other);
    TRY(ioctl, slave, TIOCMBIS, other);
    TRY(ioctl, slave, TIOCMBIC, other);
    TRY(ioctl, slave, TIOCGSOFTCAR, other);
    TRY(ioctl, slave, TIOCSSOFTCAR, other);
    TRY(ioctl, slave, TIOCGICOUNT, other);
    TRY(ioctl, slave, TIOCMIWAIT, 0);
    TRY(ioctl, slave, TIOCGSERIAL, other);
    TRY(ioctl, slave, TIOCSSERIAL, other);
    TRY(ioctl, slave, TIOCSERCONFIG, 0);
    TRY(ioctl, slave, TIOCSERGETLSR, other);
    TRY(ioctl, slave, TIOCGRS485, other);
    TRY(ioctl, slave, TIOCSRS485, other);
}

static volatile sig_atomic_t came;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    came = signal;
}

static void sessions(void)
{
    pid_t group = 0;
    TRY(ioctl, slave, TIOCGPGRP, &group);
    TRY(ioctl, slave, TIOCGSID, &group);
    TRY(ioctl, slave, TIOCSCTTY, 0);
    TRY(ioctl, slave, TIOCNOTTY, 0);
    APART({
        OKAY(setsid());
        TRY(ioctl, slave, TIOCSCTTY, 0);
        TRY(ioctl, slave, TIOCGPGRP, &group);
        EQUAL(group, getpid());
        TRY(ioctl, slave, TIOCGSID, &group);
        EQUAL(group, getpid());
        TRY(ioctl, slave, TIOCSPGRP, (&(int){-1}));
        TRY(ioctl, slave, TIOCSPGRP, (&(int){0x7ffffffe}));
        TRY(ioctl, slave, TIOCSPGRP, (&(int){1}));
        TRY(ioctl, slave, TIOCSPGRP, &group);
        handle(SIGWINCH, hear, 0);
        handle(SIGINT, hear, 0);
        struct { unsigned short rows, columns, x, y; } window = {21, 71, 0, 0};
        OKAY(ioctl(master, TIOCSWINSZ, &window));
        for (int tries = 0; came == 0 && tries < 5000; tries++)
            pause_ms(1);
        SHOW(came);
        TRY(ioctl, master, TIOCSIG, SIGINT);
        for (int tries = 0; came != SIGINT && tries < 5000; tries++)
            pause_ms(1);
        SHOW(came);
        TRY(ioctl, master, TIOCSIG, 100);
        // By name it is whoever's it is.
        int own = (int)OKAY(open("/dev/tty", O_RDWR));
        TRY(ioctl, own, TIOCGPGRP, &group);
        EQUAL(group, getpid());
        OKAY(close(own));
        OKAY(signal(SIGHUP, SIG_IGN) == SIG_ERR ? -1 : 0);
        OKAY(signal(SIGCONT, SIG_IGN) == SIG_ERR ? -1 : 0);
        TRY(ioctl, slave, TIOCNOTTY, 0);
        SEE(open("/dev/tty", O_RDWR));
        TRY(ioctl, slave, TIOCGPGRP, &group);
        // Hung up, it is at its end.
        char byte;
        if (TRY(ioctl, slave, TIOCVHANGUP, 0) == 0)
            TRY(read, slave, &byte, 1);
    });
}

int main(void)
{
    master = (int)OKAY(posix_openpt(O_RDWR | O_NOCTTY));
    OKAY(unlockpt(master));
    slave = (int)OKAY(open(ptsname(master), O_RDWR | O_NOCTTY));
    modes();
    queues();
    packets();
    exclusion();
    windows();
    sessions();
    return ok("rows_terminal");
}
