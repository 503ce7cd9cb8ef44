/* How threads and processes end: main ends first, exit_group from a thread, a fatal signal. */
#include "guest.h"

static int ends[2];

static void *read_forever(void *nothing)
{
    char byte;
    (void)!read(ends[0], &byte, 1);
    return nothing;
}

static void *sleep_forever(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

static void *wait_forever(void *nothing)
{
    (void)!waitpid(-1, NULL, 0);
    return nothing;
}

static void *exit_with(void *code)
{
    pause_ms(20);
    exit((int)(long)code);
}

static void *exit_thread_only(void *nothing)
{
    /* Long enough for the main thread to end first, even if the process is moved meanwhile. */
    pause_ms(1500);
    syscall(SYS_exit, 77);
    return nothing;
}

/* With memory, after the main thread has gone. */
static void *write_and_read(void *code)
{
    pause_ms(50);
    char mine[8] = "";
    int pair[2];
    OKAY(pipe(pair));
    EQUAL(OKAY(write(pair[1], "hello", 6)), 6);
    EQUAL(OKAY(read(pair[0], mine, sizeof mine)), 6);
    SAME_TEXT(mine, "hello");
    struct stat status;
    OKAY(stat(".", &status));
    CHECK(S_ISDIR(status.st_mode));
    exit((int)(long)code);
}

static void *crash(void *nothing)
{
    pause_ms(5);
    *(volatile int *)8 = 1;
    return nothing;
}

static void start(void *(*run)(void *), long argument)
{
    pthread_t thread;
    ZERO(pthread_create(&thread, NULL, run, (void *)argument));
}

int main(void)
{
    OKAY(pipe(ends));
    /* The main thread ends; the process goes on until the others do. */
    pid_t child = CHILD({
        start(exit_with, 13);
        pthread_exit(NULL);
    });
    EXITS(child, 13);
    child = CHILD({
        start(write_and_read, 15);
        pthread_exit(NULL);
    });
    EXITS(child, 15);
    /* The main thread is a zombie that cannot be waited for yet. */
    child = CHILD({
        start(read_forever, 0);
        start(exit_with, 14);
        syscall(SYS_exit, 99);
    });
    EXITS(child, 14);
    /* The code of the last thread counts (since Linux 6.0), not that of the main thread. */
    child = CHILD({
        start(exit_thread_only, 0);
        syscall(SYS_exit, 3);
    });
    EXITS(child, 77);

    for (int i = 0; i < 5; i++) {
        child = CHILD({
            for (int t = 0; t < 5; t++) {
                start(read_forever, 0);
                start(sleep_forever, 0);
                start(wait_forever, 0);
            }
            start(exit_with, 20 + i);
            await(ends[0]);
        });
        EXITS(child, 20 + i);
        child = CHILD({
            start(read_forever, 0);
            start(sleep_forever, 0);
            start(crash, 0);
            await(ends[0]);
        });
        DIES(child, SIGSEGV);
        child = CHILD({
            start(read_forever, 0);
            start(sleep_forever, 0);
            tell(ends[1]);
            await(ends[0]);
            await(ends[0]);
        });
        pause_ms(10);
        OKAY(kill(child, SIGTERM));
        DIES(child, SIGTERM);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        char byte;
        while (read(ends[0], &byte, 1) == 1)
            ;
        fcntl(ends[0], F_SETFL, 0);
    }
    return ok("threads_end");
}
