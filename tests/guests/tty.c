/* ioctl on terminals and others; a pseudo-terminal with a session, ^C, ^Z, ^D and a window size. */
#include "guest.h"
#include <pty.h>
#include <termios.h>
#include <utmp.h>

static volatile int resized;
static void on_resize(int signal)
{
    (void)signal;
    resized = 1;
}

/* Reads the terminal until this text has come. */
static void expect(int master, const char *wanted)
{
    char text[4096];
    size_t length = 0;
    while (length < sizeof text - 1) {
        long n = OKAY(read(master, text + length, 1));
        CHECK(n == 1);
        text[++length] = 0;
        if (strstr(text, wanted) != NULL)
            return;
    }
    guest_failed(__FILE_NAME__, __LINE__, "\"%s\" did not come", wanted);
}

int main(void)
{
    struct termios modes;
    struct winsize size;
    int ends[2], value;
    OKAY(pipe(ends));
    FAILS(tcgetattr(ends[0], &modes), ENOTTY);
    FAILS(ioctl(ends[0], TIOCGWINSZ, &size), ENOTTY);
    FAILS(ioctl((int)OKAY(open("/dev/null", O_RDWR)), TCGETS, &modes), ENOTTY);
    EQUAL(isatty(ends[0]), 0);
    OKAY(ioctl(ends[0], FIONBIO, &(int){1}));
    CHECK(OKAY(fcntl(ends[0], F_GETFL)) & O_NONBLOCK);
    OKAY(ioctl(ends[0], FIOCLEX));
    EQUAL(OKAY(fcntl(ends[0], F_GETFD)), FD_CLOEXEC);
    OKAY(ioctl(ends[0], FIONCLEX));
    EQUAL(OKAY(fcntl(ends[0], F_GETFD)), 0);
    OKAY(close(ends[0]));
    OKAY(pipe(ends));

    int master, slave;
    OKAY(openpty(&master, &slave, NULL, NULL, &(struct winsize){24, 80, 0, 0}));
    EQUAL(isatty(slave), 1);
    char name[64], other[64];
    ZERO(ttyname_r(slave, name, sizeof name));
    ZERO(ptsname_r(master, other, sizeof other));
    SAME_TEXT(name, other);
    OKAY(ioctl(slave, TIOCGWINSZ, &size));
    CHECK(size.ws_row == 24 && size.ws_col == 80);
    OKAY(tcgetattr(slave, &modes));
    CHECK(modes.c_lflag & ICANON && modes.c_lflag & ECHO && modes.c_lflag & ISIG);
    FAILS(ioctl(slave, TIOCGPGRP, &value), ENOTTY);

    pid_t child = CHILD({
        OKAY(close(master));
        OKAY(login_tty(slave));
        EQUAL(tcgetpgrp(0), getpid());
        EQUAL(tcgetsid(0), getpid());
        OKAY(close(OKAY(open("/dev/tty", O_RDWR))));
        signal(SIGWINCH, on_resize);
        /* A group of its own in the foreground, like a shell's job. */
        signal(SIGTTOU, SIG_IGN);
        for (int round = 0; round < 3; round++) {
            pid_t job = CHILD({
                OKAY(setpgid(0, 0));
                signal(SIGTTOU, SIG_IGN);
                OKAY(tcsetpgrp(0, getpid()));
                signal(SIGTTOU, SIG_DFL);
                write_all(1, "ready\n", 6);
                char line[64];
                long n = OKAY(read(0, line, sizeof line));
                _exit((int)n);
            });
            int status;
            EQUAL(OKAY(waitpid(job, &status, WUNTRACED)), job);
            if (round == 0) {
                CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
            } else if (round == 1) {
                CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
                OKAY(tcsetpgrp(0, getpid()));
                OKAY(kill(job, SIGCONT));
                /* In the background it may not read. */
                EQUAL(OKAY(waitpid(job, &status, WUNTRACED)), job);
                CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
                OKAY(tcsetpgrp(0, job));
                OKAY(kill(job, SIGCONT));
                write_all(1, "continued\n", 10);
                EQUAL(OKAY(waitpid(job, &status, WUNTRACED)), job);
                CHECK(WIFEXITED(status));
                EQUAL(WEXITSTATUS(status), 6);
            } else {
                CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            }
            OKAY(tcsetpgrp(0, getpid()));
        }
        write_all(1, "resize\n", 7);
        while (!resized)
            pause_ms(1);
        OKAY(ioctl(0, TIOCGWINSZ, &size));
        CHECK(size.ws_row == 50 && size.ws_col == 132);
        /* Raw: a single byte, without echo. */
        OKAY(tcgetattr(0, &modes));
        cfmakeraw(&modes);
        OKAY(tcsetattr(0, TCSANOW, &modes));
        write_all(1, "raw", 3);
        char byte;
        EQUAL(OKAY(read(0, &byte, 1)), 1);
        EQUAL(byte, 3);
        write_all(1, "done", 4);
        /* When the other side hangs up, so do we. */
        pause();
        _exit(1);
    });
    OKAY(close(slave));
    expect(master, "ready\r\n");
    write_all(master, "\003", 1);
    expect(master, "^C");
    expect(master, "ready\r\n");
    write_all(master, "\032", 1);
    expect(master, "continued\r\n");
    write_all(master, "hello\n", 6);
    expect(master, "hello\r\n");
    expect(master, "ready\r\n");
    write_all(master, "\004", 1);
    expect(master, "resize\r\n");
    OKAY(ioctl(master, TIOCSWINSZ, &(struct winsize){50, 132, 0, 0}));
    expect(master, "raw");
    write_all(master, "\003", 1);
    expect(master, "done");
    OKAY(close(master));
    DIES(child, SIGHUP);
    return ok("tty");
}
