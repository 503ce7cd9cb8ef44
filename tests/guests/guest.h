/*
 * What every guest program shares. A guest asserts what Linux does natively, prints one token
 * `OK <name>` and ends with 0; else it says on standard error which assertion failed and ends
 * with 99. It prints nothing that differs between two runs (no pids, addresses or times).
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GUEST_FAILED 99

__attribute__((noreturn, format(printf, 3, 4), unused)) static void
guest_failed(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(2, "%s:%d: %s\n", file, line, text);
    _exit(GUEST_FAILED);
}

/* The condition holds. */
#define CHECK(condition) \
    do { \
        if (!(condition)) \
            guest_failed(__FILE_NAME__, __LINE__, "not so: %s (errno %d, %s)", #condition, errno, \
                         strerror(errno)); \
    } while (0)

/* Two integers are equal. */
#define EQUAL(actual, expected) \
    do { \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected); \
        if (actual_ != expected_) \
            guest_failed(__FILE_NAME__, __LINE__, "%s is %lld, not %lld (%s) (errno %d, %s)", #actual, \
                         actual_, expected_, #expected, errno, strerror(errno)); \
    } while (0)

/* Two strings are equal. */
#define SAME_TEXT(actual, expected) \
    do { \
        const char *actual_ = (actual), *expected_ = (expected); \
        if (strcmp(actual_, expected_) != 0) \
            guest_failed(__FILE_NAME__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual_, expected_); \
    } while (0)

/* The call does not answer -1; its result. */
#define OKAY(call) \
    ({ \
        errno = 0; \
        long long result_ = (long long)(call); \
        if (result_ == -1) \
            guest_failed(__FILE_NAME__, __LINE__, "%s: errno %d, %s", #call, errno, strerror(errno)); \
        result_; \
    })

/* The call answers -1 with this errno. */
#define FAILS(call, expected) \
    do { \
        errno = 0; \
        long long result_ = (long long)(call); \
        int errno_ = errno; \
        if (result_ != -1 || errno_ != (expected)) \
            guest_failed(__FILE_NAME__, __LINE__, "%s: result %lld, errno %d (%s), not -1 and %s", #call, \
                         result_, errno_, strerror(errno_), #expected); \
    } while (0)

/* pthread functions: the error is the result. */
#define ZERO(call) EQUAL(call, 0)

/* Ends main: the token, and the status. */
__attribute__((unused)) static int ok(const char *name)
{
    printf("OK %s\n", name);
    return fflush(stdout) == 0 ? 0 : GUEST_FAILED;
}

/* Waits for this child; its status as wait4 gives it. */
__attribute__((unused)) static int wait_for(pid_t child)
{
    int status;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got == -1 && errno == EINTR);
    EQUAL(got, child);
    return status;
}

/* Waits for this child, which must exit with this code. */
#define EXITS(child, code) \
    do { \
        int status_ = wait_for(child); \
        if (!WIFEXITED(status_) || WEXITSTATUS(status_) != (code)) \
            guest_failed(__FILE_NAME__, __LINE__, "child ended with %#x, not exit code %d", status_, (code)); \
    } while (0)

/* Waits for this child, which must die by this signal. */
#define DIES(child, signal) \
    do { \
        int status_ = wait_for(child); \
        if (!WIFSIGNALED(status_) || WTERMSIG(status_) != (signal)) \
            guest_failed(__FILE_NAME__, __LINE__, "child ended with %#x, not by signal %d", status_, (signal)); \
    } while (0)

/* Runs the body (a block ending in _exit, or falling through to _exit(0)) in a child; its pid. */
#define CHILD(...) \
    ({ \
        pid_t child_ = (pid_t)OKAY(fork()); \
        if (child_ == 0) { \
            __VA_ARGS__; \
            _exit(0); \
        } \
        child_; \
    })

/* Writes all of it. */
__attribute__((unused)) static void write_all(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t n = write(fd, at, length);
        if (n == -1 && errno == EINTR)
            continue;
        CHECK(n > 0);
        at += n;
        length -= (size_t)n;
    }
}

/* Reads until `length` bytes or the end; how many. */
__attribute__((unused)) static size_t read_all(int fd, void *data, size_t length)
{
    size_t got = 0;
    while (got < length) {
        ssize_t n = read(fd, (char *)data + got, length - got);
        if (n == -1 && errno == EINTR)
            continue;
        CHECK(n >= 0);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return got;
}

/* Makes (or replaces) a file with this text. */
__attribute__((unused)) static void make_file(const char *path, const char *text)
{
    int fd = (int)OKAY(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    write_all(fd, text, strlen(text));
    OKAY(close(fd));
}

/* The whole of a small file as text, in a buffer that the next call reuses. */
__attribute__((unused)) static const char *file_text(const char *path)
{
    static char text[1 << 16];
    int fd = (int)OKAY(open(path, O_RDONLY));
    text[read_all(fd, text, sizeof text - 1)] = 0;
    OKAY(close(fd));
    return text;
}

/* One byte through a pipe: "I have got this far". */
__attribute__((unused)) static void tell(int fd) { write_all(fd, "!", 1); }

/* Waits for one `tell` at the other end. */
__attribute__((unused)) static void await(int fd)
{
    char byte;
    EQUAL(read_all(fd, &byte, 1), 1);
}

/* Sleeps without a signal's help; for letting another process get into a blocking call. */
__attribute__((unused)) static void pause_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

/* Waits until /proc/PID/stat shows the process in this state ('S', 'T', 'Z' …). */
__attribute__((unused)) static void await_state(pid_t pid, char state)
{
    for (;;) {
        char path[64], text[512];
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        int fd = (int)OKAY(open(path, O_RDONLY));
        text[read_all(fd, text, sizeof text - 1)] = 0;
        OKAY(close(fd));
        const char *after_name = strrchr(text, ')');
        CHECK(after_name != NULL);
        if (after_name[2] == state)
            return;
        pause_ms(1);
    }
}

/* Installs a SA_SIGINFO handler. */
__attribute__((unused)) static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    OKAY(sigaction(signal, &action, NULL));
}

#endif
