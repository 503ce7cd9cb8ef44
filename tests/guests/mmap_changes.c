/* Mappings of files that change: written, truncated, unlinked, without a name; devices; advice. */
#include "guest.h"
#include <setjmp.h>

#define PAGE 4096L

static sigjmp_buf beyond;

static void no_page(int signal, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(signal == SIGBUS && info->si_code == BUS_ADRERR);
    siglongjmp(beyond, 1);
}

static void filled(const char *path, long pages)
{
    char page[PAGE];
    int fd = (int)OKAY(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    for (long i = 0; i < pages; i++) {
        memset(page, 'a' + (int)i, sizeof page);
        write_all(fd, page, sizeof page);
    }
    OKAY(close(fd));
}

static char *map(const char *path, long pages, int prot, int flags)
{
    int fd = (int)OKAY(open(path, O_RDONLY));
    char *at = mmap(NULL, (size_t)(pages * PAGE), prot, flags, fd, 0);
    CHECK(at != MAP_FAILED);
    OKAY(close(fd));
    return at;
}

/* Another process writes one byte of each of some pages. */
static void writes(const char *path, long pages, char byte)
{
    EXITS(CHILD({
              int fd = (int)OKAY(open(path, O_WRONLY));
              for (long i = 0; i < pages; i++)
                  EQUAL(OKAY(pwrite(fd, &byte, 1, i * PAGE)), 1);
          }),
          0);
}

static void written(int flags)
{
    filled("file", 6);
    char *at = map("file", 6, PROT_READ | PROT_WRITE, MAP_PRIVATE | flags);
    char *seen = map("file", 6, PROT_READ, MAP_SHARED | flags);
    EQUAL(at[0], 'a');
    at[PAGE] = 'O';
    writes("file", 4, 'W');
    /* Own pages stay, and to populate a writable mapping makes all its pages own; others show the file. */
    EQUAL(at[0], flags & MAP_POPULATE ? 'a' : 'W');
    EQUAL(at[PAGE], 'O');
    EQUAL(at[PAGE + 1], 'b');
    EQUAL(at[2 * PAGE], flags & MAP_POPULATE ? 'c' : 'W');
    EQUAL(at[2 * PAGE + 1], 'c');
    EQUAL(at[5 * PAGE], 'f');
    EQUAL(seen[PAGE], 'W');
    OKAY(madvise(at, (size_t)(6 * PAGE), MADV_DONTNEED));
    EQUAL(at[PAGE], 'W');
    char *moved = mremap(at, (size_t)(2 * PAGE), (size_t)(6 * PAGE), MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED);
    EQUAL(moved[0], 'W');
    EQUAL(moved[4 * PAGE], 'e');
    writes("file", 6, 'V');
    EQUAL(moved[5 * PAGE], 'V');
    EQUAL(seen[5 * PAGE], 'V');
    OKAY(munmap(moved, (size_t)(6 * PAGE)));
    OKAY(munmap(seen, (size_t)(6 * PAGE)));
}

static void own_writing(void)
{
    filled("file", 2);
    char *at = map("file", 2, PROT_READ, MAP_PRIVATE);
    EQUAL(at[0], 'a');
    int fd = (int)OKAY(open("file", O_WRONLY | O_NONBLOCK));
    EQUAL(OKAY(pwrite(fd, "X", 1, 0)), 1);
    EQUAL(at[0], 'X');
    OKAY(close(fd));
    OKAY(munmap(at, (size_t)(2 * PAGE)));
}

static void truncated(void)
{
    filled("file", 3);
    char *at = map("file", 3, PROT_READ, MAP_PRIVATE);
    EQUAL(at[2 * PAGE], 'c');
    EXITS(CHILD(OKAY(truncate("file", PAGE + 10));), 0);
    EQUAL(at[PAGE], 'b');
    EQUAL(at[PAGE + 10], 0);
    if (sigsetjmp(beyond, 1) == 0) {
        char byte = *(volatile char *)(at + 2 * PAGE);
        guest_failed(__FILE_NAME__, __LINE__, "a page beyond the end has %d", byte);
    }
    OKAY(munmap(at, (size_t)(3 * PAGE)));
}

static void without_name(void)
{
    filled("file", 2);
    OKAY(link("file", "other"));
    int fd = (int)OKAY(open("file", O_RDONLY));
    OKAY(unlink("file"));
    char *at = mmap(NULL, (size_t)(2 * PAGE), PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    EQUAL(at[0], 'a');
    writes("other", 2, 'L');
    EQUAL(at[0], 'L');
    EQUAL(at[PAGE], 'L');
    OKAY(unlink("other"));
    OKAY(close(fd));
    EQUAL(at[1], 'a');
    pid_t child = CHILD(EQUAL(at[PAGE + 1], 'b'));
    EXITS(child, 0);
    OKAY(munmap(at, (size_t)(2 * PAGE)));

    int files[] = {(int)OKAY(open(".", O_TMPFILE | O_RDWR, 0600)), (int)OKAY(memfd_create("memory", 0))};
    for (int i = 0; i < 2; i++) {
        OKAY(ftruncate(files[i], 2 * PAGE));
        EQUAL(OKAY(pwrite(files[i], "first", 6, 0)), 6);
        at = mmap(NULL, (size_t)(2 * PAGE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, files[i], 0);
        CHECK(at != MAP_FAILED);
        SAME_TEXT(at, "first");
        at[PAGE] = 'o';
        EQUAL(OKAY(pwrite(files[i], "later", 6, PAGE)), 6);
        EQUAL(at[PAGE], 'o');
        EQUAL(OKAY(pread(files[i], at + 10, 6, PAGE)), 6);
        SAME_TEXT(at + 10, "later");
        char *again = mmap(NULL, (size_t)(2 * PAGE), PROT_READ, MAP_PRIVATE, files[i], 0);
        SAME_TEXT(again + PAGE, "later");
        EQUAL(OKAY(pwrite(files[i], "third", 6, PAGE)), 6);
        SAME_TEXT(again + PAGE, "third");
        OKAY(close(files[i]));
        SAME_TEXT(again + PAGE, "third");
        OKAY(munmap(at, (size_t)(2 * PAGE)));
        OKAY(munmap(again, (size_t)(2 * PAGE)));
    }
}

static void made_writable(void)
{
    filled("file", 1);
    int fd = (int)OKAY(open("file", O_RDWR));
    char *at = mmap(NULL, (size_t)PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    OKAY(mprotect(at, (size_t)PAGE, PROT_READ | PROT_WRITE));
    at[5] = 'S';
    char byte;
    EQUAL(OKAY(pread(fd, &byte, 1, 5)), 1);
    EQUAL(byte, 'S');
    OKAY(close(fd));
    OKAY(munmap(at, (size_t)PAGE));
    at = map("file", 1, PROT_READ, MAP_SHARED);
    FAILS(mprotect(at, (size_t)PAGE, PROT_READ | PROT_WRITE), EACCES);
    OKAY(munmap(at, (size_t)PAGE));
}

static void devices(void)
{
    int fd = (int)OKAY(open("/dev/zero", O_RDWR));
    char *at = mmap(NULL, (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    EQUAL(at[7], 0);
    at[7] = 1;
    OKAY(munmap(at, (size_t)PAGE));
    OKAY(close(fd));
    int ends[2];
    OKAY(pipe(ends));
    CHECK(mmap(NULL, (size_t)PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0) == MAP_FAILED);
    EQUAL(errno, ENODEV);
}

/* What was mapped and has been unmapped may be executed and locked. */
static void left_alone(void)
{
    int fd = (int)OKAY(open("program", O_RDWR | O_CREAT, 0755));
    int original = (int)OKAY(open("/bin/true", O_RDONLY));
    static char text[1 << 20];
    size_t length = read_all(original, text, sizeof text);
    write_all(fd, text, length);
    char *at = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    EQUAL(memcmp(at, text, length), 0);
    OKAY(munmap(at, length));
    OKAY(close(fd));
    EXITS(CHILD(execl("./program", "program", NULL); _exit(errno);), 0);
    OKAY(unlink("program"));
}

/* Each part in a process of its own, so that each begins where this one was started. */
#define PART(call) EXITS(CHILD(call), 0)

int main(void)
{
    handle(SIGBUS, no_page, 0);
    PART(written(0));
    PART(written(MAP_POPULATE));
    PART(own_writing());
    PART(truncated());
    PART(without_name());
    PART(made_writable());
    PART(devices());
    PART(left_alone());
    OKAY(unlink("file"));
    return ok("mmap_changes");
}
