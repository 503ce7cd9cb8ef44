/*
 * Executes sequences of system calls and prints what each one did.
 *
 *     interpreter SEQUENCES SECONDS     all sequences of the file, each in a child and a directory
 *     interpreter                       (executed by a sequence) what it has inherited
 *
 * The file is text, written by `fuzz/sequence.rs`, which explains it. What differs between two runs
 * of the same sequence (pids, inode numbers, times, addresses the kernel chose) is printed by name
 * or not at all. Memory that the calls point at lies at fixed addresses, so that every argument is a
 * number.
 * gcc: -static
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where the memory lies; `fuzz/arena.rs` has the same numbers. */
#define ARENA 0x20000000ul
#define ARENA_BYTES 0x10000ul
#define READ_ONLY (ARENA + 0x10000)
#define NO_ACCESS (ARENA + 0x11000)
#define WRITE_ONLY (ARENA + 0x12000)
#define LARGE (ARENA + 0x100000)
#define LARGE_BYTES 0x300000ul
/* What of an out range the call has not written. */
#define UNTOUCHED 0x5a

#define OUTPUT_FD 1000
#define IDS_MAX 4096
#define PARTS_MAX 24
#define OPS_MAX 512

enum what { CALL, CHILD, BACKGROUND, THREAD, END, PEEK, TOUCH, EXEC };

struct part {
    char kind[8];
    uint64_t at;
    const char *token;
    uint64_t bytes;
};

struct op {
    enum what what;
    int id, end, nr;
    char name[32];
    const char *argument[6];
    char result[8];
    struct part parts[PARTS_MAX];
    int part_count;
};

static struct op ops[OPS_MAX];
static int op_count;
static long results[IDS_MAX];
static const char *program;
static unsigned limit_seconds;
static int quiet;
/* Of a child: not getppid(), which is somebody else once the parent has ended. */
static int parent_pid;

/* ---- output ---- */

static char output[1 << 18];
static size_t output_bytes;

static void flush(void)
{
    size_t done = 0;
    while (done < output_bytes && !quiet) {
        ssize_t n = write(OUTPUT_FD, output + done, output_bytes - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    output_bytes = 0;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    if (output_bytes > sizeof output - 8192)
        flush();
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(output + output_bytes, 8192, format, arguments);
    va_end(arguments);
    output_bytes += (size_t)(n < 8192 ? n : 8191);
}

/* ---- names of processes ---- */

static struct {
    int pid;
    char name[16];
} known[256];
static int known_count;

static void know(int pid, const char *kind, int id)
{
    if (known_count < 256) {
        known[known_count].pid = pid;
        snprintf(known[known_count++].name, 16, "%s%d", kind, id);
    }
}

static const char *pid_name(long pid)
{
    for (int i = known_count - 1; i >= 0; i--)
        if (known[i].pid == pid || known[i].pid == -pid)
            return known[i].name;
    return pid == 0 ? "0" : "other";
}

/* ---- signals ---- */

static struct {
    int signal, code, pid, uid, value, is_fault;
} events[64];
static volatile int event_count;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno, at = __atomic_fetch_add(&event_count, 1, __ATOMIC_SEQ_CST);
    if (at < 64) {
        events[at].signal = signal;
        events[at].code = info->si_code;
        events[at].pid = info->si_pid;
        events[at].uid = (int)info->si_uid;
        events[at].value = signal == SIGCHLD ? info->si_status : info->si_value.sival_int;
    }
    errno = saved;
}

static void say_events(void)
{
    int count = event_count < 64 ? event_count : 64;
    for (int i = 0; i < count; i++) {
        /* Of a timer or a fault the fields mean something else. */
        int sent = events[i].code <= 0 || events[i].signal == SIGCHLD;
        if (sent)
            say(" <signal %d code %d from %s uid %d value %#x>", events[i].signal, events[i].code,
                pid_name(events[i].pid), events[i].uid,
                events[i].code == SI_USER || events[i].code == SI_TKILL ? 0 : events[i].value);
        else
            say(" <signal %d code %d>", events[i].signal, events[i].code);
    }
    event_count = 0;
}

static __thread sigjmp_buf fault;
static __thread volatile sig_atomic_t may_fault;

static void faulted(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (may_fault)
        siglongjmp(fault, signal << 8 | (info->si_code & 0xff));
    /* A signal that somebody has sent, or a bug of ours. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
}

__attribute__((naked)) static void restorer(void)
{
    __asm__("mov $15, %eax\n syscall");
}

static long raw(long nr, const uint64_t *a)
{
    long result;
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* ---- reading ---- */

static uint64_t value(const char *token)
{
    if (token[0] != '$')
        return strtoull(token, NULL, 16);
    switch (token[1]) {
    case 'r': {
        long id = strtol(token + 2, NULL, 10);
        return id >= 0 && id < IDS_MAX ? (uint64_t)results[id] : 0;
    }
    case 'm':
        return (uint64_t)(int64_t)*(int *)strtoull(token + 2, NULL, 16);
    case 's':
        return (uint64_t)getpid();
    case 't':
        return (uint64_t)gettid();
    case 'p':
        return (uint64_t)parent_pid;
    case 'h':
        return (uint64_t)handler;
    case 'b':
        return (uint64_t)restorer;
    default:
        fprintf(stderr, "no such value: %s\n", token);
        exit(2);
    }
}

static enum what what_of(const char *word)
{
    static const char *const words[] = {"call", "child", "background", "thread", "end", "peek", "touch", "exec"};
    for (int i = 0; i < 8; i++)
        if (strcmp(word, words[i]) == 0)
            return (enum what)i;
    fprintf(stderr, "no such line: %s\n", word);
    exit(2);
}

/* One line: `WHAT ID NAME NUMBER RESULT ARGUMENT*6 PART...`. */
static void parse(char *line)
{
    char *rest = line, *word = strsep(&rest, " ");
    struct op *op = &ops[op_count];
    if (op_count == OPS_MAX || word == NULL)
        exit(2);
    memset(op, 0, sizeof *op);
    op->what = what_of(word);
    op->end = -1;
    if (op->what == END) {
        for (int i = op_count - 1; i >= 0; i--)
            if (ops[i].what >= CHILD && ops[i].what <= THREAD && ops[i].end == -1) {
                ops[i].end = op_count;
                break;
            }
    }
    word = strsep(&rest, " ");
    op->id = word != NULL ? atoi(word) % IDS_MAX : 0;
    if (op->what == CALL) {
        snprintf(op->name, sizeof op->name, "%s", strsep(&rest, " "));
        op->nr = atoi(strsep(&rest, " "));
        snprintf(op->result, sizeof op->result, "%s", strsep(&rest, " "));
    }
    if (op->what == CALL || op->what == PEEK || op->what == TOUCH)
        for (int i = 0; i < 6; i++)
            op->argument[i] = strsep(&rest, " ");
    while (rest != NULL && (word = strsep(&rest, " ")) != NULL && op->part_count < PARTS_MAX) {
        struct part *part = &op->parts[op->part_count++];
        char *at = word;
        snprintf(part->kind, sizeof part->kind, "%s", strsep(&at, ":"));
        part->at = strtoull(strsep(&at, ":"), NULL, 16);
        part->token = at;
        part->bytes = strtoull(at, NULL, 10);
    }
    op_count++;
}

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

static void prepare(const struct op *op)
{
    for (int i = 0; i < op->part_count; i++)
        if (op->parts[i].kind[0] == 'o')
            memset((void *)op->parts[i].at, UNTOUCHED, op->parts[i].bytes);
    for (int i = 0; i < op->part_count; i++) {
        const struct part *part = &op->parts[i];
        uint8_t *at = (uint8_t *)part->at;
        if (part->kind[0] == 'p')
            for (const char *c = part->token; c[0] != 0; c += 2)
                *at++ = (uint8_t)(digit(c[0]) << 4 | digit(c[1]));
        else if (part->kind[0] == 'w')
            *(uint64_t *)at = value(part->token);
        else if (part->kind[0] == 'i')
            *(uint32_t *)at = (uint32_t)value(part->token);
    }
}

/* ---- printing what was written ---- */

static int is_untouched(const uint8_t *bytes, size_t length)
{
    while (length > 0 && bytes[length - 1] == UNTOUCHED)
        length--;
    return length == 0;
}

static void say_bytes(const uint8_t *bytes, size_t length)
{
    size_t used = length, shown;
    while (used > 0 && bytes[used - 1] == UNTOUCHED)
        used--;
    shown = used < 64 ? used : 48;
    for (size_t i = 0; i < shown; i++)
        say("%02x", bytes[i]);
    if (shown < used) {
        uint64_t hash = 0xcbf29ce484222325u;
        for (size_t i = shown; i < used; i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
        say("+%zu#%016lx", used - shown, hash);
    }
    if (used < length)
        say("~");
}

/* A time of now is not printed; one that a call has set is. */
static void say_time(int64_t seconds, uint32_t nanoseconds)
{
    int64_t age = (int64_t)time(NULL) - seconds;
    if (age > -3600 && age < 86400)
        say(" now");
    else
        say(" %ld.%09u", seconds, nanoseconds);
}

static void say_stat(const struct stat *s)
{
    say("mode %o links %lu uid %u gid %u", s->st_mode, S_ISDIR(s->st_mode) ? 0 : s->st_nlink, s->st_uid, s->st_gid);
    if (!S_ISDIR(s->st_mode))
        say(" size %ld", s->st_size);
    say(" rdev %lx block %ld", s->st_rdev, s->st_blksize);
    say_time(s->st_mtime, (uint32_t)s->st_mtim.tv_nsec);
}

static void say_statx(const struct statx *s)
{
    say("mask %x attributes %lx/%lx mode %o links %u uid %u gid %u", s->stx_mask, (long)s->stx_attributes,
        (long)s->stx_attributes_mask, s->stx_mode, S_ISDIR(s->stx_mode) ? 0 : s->stx_nlink, s->stx_uid,
        s->stx_gid);
    if (!S_ISDIR(s->stx_mode))
        say(" size %llu", s->stx_size);
    say_time(s->stx_mtime.tv_sec, s->stx_mtime.tv_nsec);
}

static void say_entries(const uint8_t *bytes, long length)
{
    for (long at = 0; at + 19 <= length;) {
        const struct dirent64 *entry = (const void *)(bytes + at);
        say("[%s %d%s]", entry->d_name, entry->d_type, entry->d_ino == 0 ? " no inode" : "");
        if (entry->d_reclen == 0)
            break;
        at += entry->d_reclen;
    }
}

static void say_info(const siginfo_t *info)
{
    say("signal %d errno %d code %d", info->si_signo, info->si_errno, info->si_code);
    if (info->si_code <= 0 || info->si_signo == SIGCHLD)
        say(" from %s uid %u", pid_name(info->si_pid), info->si_uid);
    if (info->si_signo == SIGCHLD && info->si_code > 0)
        say(" status %#x", info->si_status);
    else if (info->si_code == SI_QUEUE)
        say(" value %#x", info->si_value.sival_int);
}

static void say_part(const struct part *part, long result)
{
    const uint8_t *at = (const uint8_t *)part->at;
    const char *kind = part->kind + 1;
    say(" {");
    if (is_untouched(at, part->bytes))
        say("~");
    else if (strcmp(kind, "stat") == 0)
        say_stat((const void *)at);
    else if (strcmp(kind, "statx") == 0)
        say_statx((const void *)at);
    else if (strcmp(kind, "dents") == 0)
        say_entries(at, result);
    else if (strcmp(kind, "info") == 0)
        say_info((const void *)at);
    else if (strcmp(kind, "pid") == 0)
        say("%s", pid_name(*(const int *)at));
    else if (strcmp(kind, "lock") == 0) {
        say_bytes(at, 24);
        say(" %s", pid_name(*(const int *)(at + 24)));
    } else if (strcmp(kind, "cred") == 0) {
        say("%s ", pid_name(*(const int *)at));
        say_bytes(at + 4, 8);
    } else if (strcmp(kind, "left") == 0) {
        /* A time that runs, or an interval before it. */
        uint64_t any = 0;
        for (uint64_t i = 0; i < part->bytes; i += 8)
            any |= *(const uint64_t *)(at + i);
        say(any == 0 ? "zero" : "some");
    } else if (strcmp(kind, "some") == 0)
        say("written");
    else
        say_bytes(at, part->bytes);
    say("}");
}

/* ---- executing ---- */

static void run(int from, int to);

static void call(const struct op *op)
{
    uint64_t arguments[6];
    prepare(op);
    for (int i = 0; i < 6; i++)
        arguments[i] = value(op->argument[i]);
    if (op->nr == SYS_kill || op->nr == SYS_tgkill || op->nr == SYS_tkill || op->nr == SYS_rt_sigqueueinfo
        || op->nr == SYS_rt_tgsigqueueinfo || op->nr == SYS_pidfd_send_signal) {
        /* Nobody but ourselves, also where a line is missing that would have made somebody. */
        int about = op->nr == SYS_pidfd_send_signal ? 1 : (int)arguments[0];
        if (about <= 1 && op->nr != SYS_pidfd_send_signal) {
            say("%d %s skipped\n", op->id, op->name);
            return;
        }
        flush();
    }
    long result = raw(op->nr, arguments);
    results[op->id] = result;
    say("%d %s = ", op->id, op->name);
    if (result < 0)
        say("%ld", result);
    else if (op->result[0] == 'p')
        say("%s", pid_name(result));
    else if (op->result[0] == 'a')
        say("%s", result == (long)arguments[0] ? "there" : "somewhere");
    else if (op->result[0] == 't')
        say(result > 0 ? "some" : "0");
    else
        say("%ld", result);
    for (int i = 0; i < op->part_count; i++)
        if (op->parts[i].kind[0] == 'o')
            say_part(&op->parts[i], result);
    say_events();
    say("\n");
}

/* As the program itself, not the kernel on its behalf. */
static void access_memory(const struct op *op)
{
    volatile uint8_t *at = (volatile uint8_t *)value(op->argument[0]);
    uint64_t bytes = value(op->argument[1]);
    int signal = sigsetjmp(fault, 1);
    say("%d %s ", op->id, op->what == PEEK ? "peek" : "touch");
    if (signal != 0) {
        may_fault = 0;
        say("fault %d code %d\n", signal >> 8, signal & 0xff);
        return;
    }
    may_fault = 1;
    if (op->what == TOUCH) {
        for (uint64_t i = 0; i < bytes; i += 4096)
            at[i] = (uint8_t)(op->id + i / 4096);
        may_fault = 0;
        say("done\n");
        return;
    }
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    may_fault = 0;
    say("%02x #%016lx\n", at[0], hash);
}

static void run_child(int index)
{
    const struct op *op = &ops[index];
    flush();
    int self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        parent_pid = self;
        alarm(limit_seconds);
        know(getpid(), "C", op->id);
        quiet |= op->what == BACKGROUND;
        run(index + 1, op->end);
        flush();
        _exit(op->id & 0x3f);
    }
    results[op->id] = pid;
    know(pid, "C", op->id);
    siginfo_t info;
    while (op->what == CHILD && pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL) == -1
           && errno == EINTR)
        ;
    say("%d fork %s", op->id, pid > 0 ? "done" : "failed");
    if (op->what == CHILD)
        say_events();
    say("\n");
}

static void *run_thread(void *argument)
{
    int index = (int)(intptr_t)argument;
    know(gettid(), "T", ops[index].id);
    results[ops[index].id] = gettid();
    run(index + 1, ops[index].end);
    return NULL;
}

static void start_thread(int index)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run_thread, (void *)(intptr_t)index);
    if (error == 0)
        pthread_join(thread, NULL);
    say("%d thread %d", ops[index].id, error);
    say_events();
    say("\n");
}

static void run(int from, int to)
{
    for (int i = from; i < to; i++) {
        switch (ops[i].what) {
        case CALL:
            call(&ops[i]);
            break;
        case CHILD:
        case BACKGROUND:
            run_child(i);
            i = ops[i].end;
            break;
        case THREAD:
            start_thread(i);
            i = ops[i].end;
            break;
        case PEEK:
        case TOUCH:
            access_memory(&ops[i]);
            break;
        case EXEC:
            flush();
            execl(program, program, NULL);
            say("%d exec %d\n", ops[i].id, errno);
            break;
        case END:
            break;
        }
    }
}

/* ---- a sequence ---- */

static void pattern(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
}

static void map(uint64_t at, size_t bytes, int access)
{
    if (mmap((void *)at, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        exit(3);
}

static void make_files(void)
{
    static uint8_t bytes[10000];
    pattern(bytes, sizeof bytes);
    int fd = open("fixed", O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd == -1 || write(fd, bytes, sizeof bytes) != sizeof bytes || close(fd) == -1)
        exit(3);
    fd = open("a", O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd == -1 || write(fd, "hello world\n", 12) != 12 || close(fd) == -1)
        exit(3);
    /* Only root may; without them there is less to see. */
    mknod("null", S_IFCHR | 0666, makedev(1, 3));
    mknod("zero", S_IFCHR | 0666, makedev(1, 5));
    if (mkdir("d", 0755) == -1 || symlink("a", "l") == -1)
        exit(3);
}

static void sequence(const char *name)
{
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO};
    char directory[64];
    snprintf(directory, sizeof directory, "s%s", name);
    if (mkdir(directory, 0755) == -1 || chdir(directory) == -1)
        exit(3);
    alarm(limit_seconds);
    know(getppid(), "parent", 0);
    know(getpid(), "self", 0);
    make_files();
    /* A file of its own: what a sequence does to its descriptors (fchmod) must not meet a device of
       the machine. */
    int null = open("input", O_RDWR | O_CREAT, 0644);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close_range(3, OUTPUT_FD - 1, 0);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    /* An abort or a fault must not cost a core file. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    run(0, op_count);
    flush();
    _exit(0);
}

static void run_all(char *text)
{
    char *line, *name = NULL;
    map(ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE);
    map(READ_ONLY, 4096, PROT_READ);
    map(NO_ACCESS, 4096, PROT_NONE);
    map(WRITE_ONLY, 4096, PROT_WRITE);
    map(LARGE, LARGE_BYTES, PROT_READ | PROT_WRITE);
    pattern((uint8_t *)ARENA, ARENA_BYTES);
    pattern((uint8_t *)LARGE, LARGE_BYTES);
    while ((line = strsep(&text, "\n")) != NULL) {
        if (strncmp(line, "sequence ", 9) == 0) {
            name = line + 9;
            op_count = 0;
        } else if (strcmp(line, "run") == 0) {
            int status = 0;
            say("sequence %s\n", name);
            flush();
            pid_t pid = fork();
            if (pid == 0)
                sequence(name);
            waitpid(pid, &status, 0);
            say("status %#x\n", status);
            flush();
        } else if (line[0] != 0) {
            parse(line);
        }
    }
}

/* After an exec: what it has brought along. */
static void say_inherited(void)
{
    uint64_t blocked = 0, pending = 0, action[4];
    say("executed:");
    for (int fd = 0; fd < 200; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            say(" %d(%#x)", fd, fcntl(fd, F_GETFL));
    raw(SYS_rt_sigprocmask, (uint64_t[]){SIG_BLOCK, 0, (uint64_t)&blocked, 8, 0, 0});
    raw(SYS_rt_sigpending, (uint64_t[]){(uint64_t)&pending, 8, 0, 0, 0, 0});
    say(" blocked %lx pending %lx ignored", blocked, pending);
    for (int signal = 1; signal <= 64; signal++)
        if (raw(SYS_rt_sigaction, (uint64_t[]){(uint64_t)signal, 0, (uint64_t)action, 8, 0, 0}) == 0 && action[0] == 1)
            say(" %d", signal);
    char name[16] = "";
    struct rlimit files = {0, 0};
    prctl(PR_GET_NAME, name);
    getrlimit(RLIMIT_NOFILE, &files);
    say(" name %s files %ld umask %o uid %d alarm %d\n", name, (long)files.rlim_cur, umask(0), getuid(), alarm(0) > 0);
    flush();
}

int main(int count, char **arguments)
{
    if (count == 1) {
        say_inherited();
        return 7;
    }
    program = realpath(arguments[0], NULL);
    limit_seconds = (unsigned)atoi(arguments[2]);
    int fd = open(arguments[1], O_RDONLY);
    off_t bytes = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)bytes + 1);
    if (fd == -1 || text == NULL || pread(fd, text, (size_t)bytes, 0) != bytes || dup2(1, OUTPUT_FD) == -1)
        return 2;
    umask(022);
    run_all(text);
    return 0;
}
