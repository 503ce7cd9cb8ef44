/*
 * A program that means harm: what a call points at is changed, protected and unmapped by other threads while
 * the call is made, and its numbers and addresses are nonsense; signals interrupt it, and children are made
 * meanwhile. The answers are whatever they are; the program and what runs it go on, and at its end everything
 * is as it should be. Its argument is a seed.
 */
#include "shown.h"
#include <sys/epoll.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define PAGE 4096
#define ROOM (16 * PAGE)
#define THREADS 4
#define CALLS 600

static char *arena;
static int files[8];
static atomic_bool *stop;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* An address of the arena, of its end, or of nowhere. */
static void *pointer(uint64_t *state)
{
    switch (next(state) % 10) {
    case 0:
        return WILD;
    case 1:
        return LAST_PAGE;
    case 2:
        return KERNEL;
    case 3:
        return arena + ROOM - next(state) % 40;
    case 4:
        return (void *)next(state);
    default:
        return arena + next(state) % ROOM;
    }
}

static uint64_t length(uint64_t *state)
{
    static const uint64_t odd[] = {0, 1, -1UL, 1UL << 31, 1UL << 32, INT64_MAX, 1 << 20, 3 << 20, 1024, 1025, PAGE};
    uint64_t at = next(state) % 16;
    return at < sizeof odd / sizeof *odd ? odd[at] : next(state) % 300;
}

static int file(uint64_t *state) { return next(state) % 16 == 0 ? (int)next(state) : files[next(state) % 8]; }

/* One that ends at once. It is waited for by whoever asks first. */
static void make_child(uint64_t *state)
{
    if (next(state) % 8 != 0)
        return;
    long child = RAW(clone, SIGCHLD, NULL, pointer(state), pointer(state), 0);
    if (child == 0)
        syscall(SYS_exit_group, 0);
}

static void handler(int signal) { (void)signal; }

/* Calls that wait for nobody and leave nothing. */
static void call(uint64_t *state)
{
    struct iovec *vectors = (struct iovec *)(arena + next(state) % 8 * 1024);
    switch (next(state) % 48) {
    case 0: RAW(read, file(state), pointer(state), length(state)); break;
    case 1: RAW(write, file(state), pointer(state), length(state)); break;
    case 2: RAW(readv, file(state), vectors, length(state)); break;
    case 3: RAW(writev, file(state), vectors, length(state)); break;
    case 4: RAW(pread64, file(state), pointer(state), length(state), next(state)); break;
    case 5: RAW(pwritev, file(state), vectors, next(state) % 20, next(state) % 9000, 0); break;
    case 6: RAW(newfstatat, AT_FDCWD, pointer(state), pointer(state), 0); break;
    case 7: RAW(readlink, pointer(state), pointer(state), length(state)); break;
    case 8: RAW(getxattr, pointer(state), pointer(state), pointer(state), length(state)); break;
    case 9: RAW(access, pointer(state), 0); break;
    case 10: RAW(poll, pointer(state), next(state) % 2000, 0); break;
    case 11: RAW(sendmsg, files[6], pointer(state), MSG_DONTWAIT | MSG_NOSIGNAL); break;
    case 12: RAW(recvmsg, files[7], pointer(state), MSG_DONTWAIT); break;
    case 13: RAW(getsockopt, files[6], SOL_SOCKET, next(state) % 26, pointer(state), pointer(state)); break;
    case 14: RAW(setsockopt, files[6], SOL_SOCKET, SO_RCVBUF, pointer(state), length(state)); break;
    case 15: RAW(sendto, files[6], pointer(state), length(state), MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0); break;
    case 16: RAW(recvfrom, files[7], pointer(state), length(state), MSG_DONTWAIT, pointer(state), pointer(state)); break;
    case 17: RAW(getcwd, pointer(state), length(state)); break;
    case 18: RAW(getdents64, files[5], pointer(state), length(state)); break;
    case 19: RAW(statx, AT_FDCWD, pointer(state), 0, next(state), pointer(state)); break;
    case 20: RAW(epoll_pwait, files[4], pointer(state), length(state), 0, pointer(state), 8); break;
    case 21: RAW(getgroups, length(state), pointer(state)); break;
    case 22: RAW(ioctl, file(state), FIONREAD, pointer(state)); break;
    case 23: RAW(fcntl, file(state), F_GETLK, pointer(state)); break;
    case 24: RAW(sendmmsg, files[6], pointer(state), next(state) % 2000, MSG_DONTWAIT | MSG_NOSIGNAL); break;
    case 25: RAW(recvmmsg, files[7], pointer(state), next(state) % 2000, MSG_DONTWAIT, NULL); break;
    case 26: RAW(execve, pointer(state), pointer(state), pointer(state)); break;
    case 27: RAW(execveat, file(state), pointer(state), pointer(state), pointer(state), next(state) % 8192); break;
    case 28: RAW(epoll_ctl, files[4], next(state) % 5, file(state), pointer(state)); break;
    case 29: RAW(preadv2, file(state), vectors, length(state), next(state) % 9000, 0, next(state) % 64); break;
    case 30: RAW(process_vm_readv, getpid(), vectors, next(state) % 9, arena, next(state) % 9, 0); break;
    case 31: RAW(splice, files[2], pointer(state), files[1], NULL, length(state), SPLICE_F_NONBLOCK); break;
    case 32: RAW(vmsplice, files[3], vectors, next(state) % 9, SPLICE_F_NONBLOCK); break;
    case 33: RAW(sendfile, files[3], file(state), pointer(state), length(state)); break;
    case 34: RAW(rt_sigprocmask, next(state) % 4, pointer(state), pointer(state), next(state) % 16); break;
    case 35: RAW(rt_sigpending, pointer(state), next(state) % 16); break;
    case 36: RAW(rt_sigaction, SIGUSR2, pointer(state), NULL, 8); break;
    case 37: RAW(sigaltstack, NULL, pointer(state)); break;
    case 38: RAW(tgkill, getpid(), gettid(), SIGUSR1); break;
    case 39: RAW(kill, getpid(), SIGUSR1); break;
    case 40: RAW(select, next(state) % 1100, pointer(state), pointer(state), pointer(state), &(struct timeval){0}); break;
    case 41: RAW(wait4, -1, pointer(state), WNOHANG, pointer(state)); break;
    case 42: RAW(name_to_handle_at, AT_FDCWD, pointer(state), pointer(state), pointer(state), 0); break;
    case 43: close(open(pointer(state), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); break;
    case 44: RAW(prlimit64, 0, next(state) % 20, NULL, pointer(state)); break;
    case 45: RAW(timer_create, next(state) % 20, pointer(state), pointer(state)); break;
    case 46: RAW(getsockname, file(state), pointer(state), pointer(state)); break;
    case 47: make_child(state); break;
    }
}

static void *make_calls(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    for (int count = 0; count < CALLS; count++)
        call(&state);
    return NULL;
}

/* Writes structures, paths and nonsense where calls look, and takes pages away and back. */
static void *disturb(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    while (!atomic_load(stop)) {
        char *at = arena + next(&state) % ROOM / 16 * 16;
        char *page = arena + next(&state) % 16 * PAGE;
        switch (next(&state) % 8) {
        case 0:
            mprotect(page, PAGE, PROT_NONE);
            break;
        case 1:
            mprotect(page, PAGE, PROT_READ);
            break;
        case 2:
            munmap(page, PAGE);
            break;
        default:
            break;
        }
        // It is there again before anything is written: others may have taken it.
        if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
            _exit(GUEST_FAILED);
        uint64_t words[2] = {(uintptr_t)pointer(&state), length(&state)};
        struct iovec from = {words, sizeof words}, to = {at, sizeof words};
        static const char paths[][16] = {"hostile", ".", "/proc/self/maps", "/etc/passwd"};
        if (next(&state) % 3 == 0)
            from.iov_base = (void *)paths[next(&state) % 4];
        // Whoever else has it protected meanwhile does not end us by that.
        int pipe_[2] = {files[2], files[3]};
        (void)!writev(pipe_[1], &from, 1);
        (void)!readv(pipe_[0], &to, 1);
        if (next(&state) % 16 == 0)
            pause_ms(1);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    uintptr_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) * 8 : 1000;
    int pipe_[2], pair[2];
    static atomic_bool stop_;
    stop = &stop_;
    arena = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(arena != MAP_FAILED);
    OKAY(mprotect(arena + ROOM, PAGE, PROT_NONE));
    files[0] = (int)OKAY(open("hostile", O_RDWR | O_CREAT, 0600));
    files[1] = (int)OKAY(open("/dev/null", O_RDWR));
    OKAY(pipe2(pipe_, O_NONBLOCK));
    files[2] = pipe_[0];
    files[3] = pipe_[1];
    files[4] = (int)OKAY(epoll_create1(0));
    files[5] = (int)OKAY(open(".", O_RDONLY | O_DIRECTORY));
    OKAY(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
    files[6] = pair[0];
    files[7] = pair[1];
    // A file does not grow beyond what a test may leave for a moment.
    OKAY(setrlimit(RLIMIT_FSIZE, (&(struct rlimit){8 << 20, RLIM_INFINITY})));
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    pthread_t callers[THREADS], disturbers[2];
    for (size_t at = 0; at < THREADS; at++)
        ZERO(pthread_create(&callers[at], NULL, make_calls, (void *)(seed + 1 + at)));
    for (size_t at = 0; at < 2; at++)
        ZERO(pthread_create(&disturbers[at], NULL, disturb, (void *)(seed + 5 + at)));
    for (size_t at = 0; at < THREADS; at++)
        ZERO(pthread_join(callers[at], NULL));
    atomic_store(stop, true);
    for (size_t at = 0; at < 2; at++)
        ZERO(pthread_join(disturbers[at], NULL));
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    // After all that a call is what it always was.
    OKAY(ftruncate(files[0], 0));
    OKAY(pwrite(files[0], "as ever", 7, 0));
    SAME_TEXT(file_text("hostile"), "as ever");
    APART({ EQUAL(getppid() > 0, 1); });
    OKAY(unlink("hostile"));
    return ok("hostile");
}
