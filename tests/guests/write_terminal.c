/* A large write to a terminal that is slowly read comes back whole, and every byte arrives once. */
#include "guest.h"
#include <termios.h>

#define SIZE (192 * 1024)

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + (i >> 8)); }

int main(void)
{
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = byte_at(i);
    int master = (int)OKAY(posix_openpt(O_RDWR | O_NOCTTY));
    OKAY(grantpt(master));
    OKAY(unlockpt(master));
    int slave = (int)OKAY(open(ptsname(master), O_RDWR | O_NOCTTY));
    struct termios raw;
    OKAY(tcgetattr(slave, &raw));
    cfmakeraw(&raw);
    OKAY(tcsetattr(slave, TCSANOW, &raw));
    pid_t child = CHILD({
        OKAY(close(slave));
        static unsigned char buffer[1500];
        for (size_t at = 0; at < SIZE;) {
            ssize_t n = OKAY(read(master, buffer, sizeof buffer));
            for (ssize_t i = 0; i < n; i++)
                if (buffer[i] != byte_at(at + (size_t)i))
                    EQUAL(buffer[i], byte_at(at + (size_t)i));
            at += (size_t)n;
            pause_ms(2);
        }
    });
    EQUAL(OKAY(write(slave, data, SIZE)), SIZE);
    EXITS(child, 0);
    return ok("write_terminal");
}
