/* A signal that comes before a file is written is there when the new content is read, however the
 * content comes; and reads go on while signals arrive. */
#include "ahead.h"

#define BYTES (16L * PIECE)
#define ROUNDS 30

static volatile sig_atomic_t got;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    got++;
}

int main(void)
{
    int to_writer[2];
    OKAY(pipe(to_writer));
    make_pattern("file", BYTES, 0);
    handle(SIGUSR1, count, SA_RESTART);
    pid_t reader = getpid();
    pid_t writer = CHILD({
        for (int round = 1; round <= ROUNDS; round++) {
            await(to_writer[0]);
            OKAY(kill(reader, SIGUSR1));
            int fd = (int)OKAY(open("file", O_WRONLY));
            put_pattern(fd, 0, BYTES, (uint32_t)round);
            OKAY(close(fd));
        }
    });
    for (int round = 1; round <= ROUNDS; round++) {
        tell(to_writer[1]);
        int last;
        do {
            int fd = (int)OKAY(open("file", O_RDONLY));
            for (int piece = 0; piece < 16; piece++) {
                EQUAL(OKAY(read(fd, ahead_data, PIECE)), PIECE);
                uint32_t word;
                memcpy(&word, ahead_data, sizeof word);
                last = (int)(word ^ word_at((long)piece * PIECE, 0));
                CHECK(last >= round - 1 && last <= round);
                CHECK(got >= last);
            }
            OKAY(close(fd));
        } while (last < round);
    }
    EXITS(writer, 0);
    EQUAL(got, ROUNDS);
    return ok("ahead_signals");
}
