/* Anonymous memory: map, fixed, unmap, mprotect, mremap, madvise, mincore, mlock, brk, executable code. */
#include "guest.h"

static char *map(void *at, size_t size, int protection, int flags)
{
    char *p = mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

int main(void)
{
    int rw = PROT_READ | PROT_WRITE;
    int ends[2];
    OKAY(pipe(ends));
    char *p = map(NULL, 10 * 4096, rw, 0);
    for (int i = 0; i < 10 * 4096; i++)
        EQUAL(p[i], 0);
    for (int i = 0; i < 10; i++)
        p[i * 4096] = (char)(i + 1);
    /* A hole in the middle; a page put back is zero. */
    OKAY(munmap(p + 4 * 4096, 2 * 4096));
    EQUAL(p[3 * 4096], 4);
    EQUAL(p[6 * 4096], 7);
    FAILS(write(ends[1], p + 4 * 4096, 1), EFAULT);
    CHECK(map(p + 4 * 4096, 4096, rw, MAP_FIXED) == p + 4 * 4096);
    EQUAL(p[4 * 4096], 0);
    CHECK(mmap(p, 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    EQUAL(errno, EEXIST);
    CHECK(mmap((void *)1, 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    EQUAL(errno, EINVAL);
    CHECK(mmap(NULL, 4096, rw, MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    EQUAL(errno, EINVAL);
    /* A hint that is free is taken. */
    char *hint = p + 5 * 4096;
    CHECK(map(hint, 4096, rw, 0) == hint);

    OKAY(mprotect(p, 4096, PROT_READ));
    FAILS(syscall(SYS_pipe, p), EFAULT);
    OKAY(mprotect(p, 4096, rw));
    p[1] = 'w';
    FAILS(mprotect(p + 1, 4096, PROT_READ), EINVAL);
    char *far = p + (1l << 40);
    FAILS(mprotect(far, 4096, PROT_READ), ENOMEM);

    char *q = map(NULL, 4096, rw, 0);
    strcpy(q, "moved along");
    char *grown = mremap(q, 4096, 64 << 20, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED);
    SAME_TEXT(grown, "moved along");
    grown[(64 << 20) - 1] = 'e';
    char *shrunk = mremap(grown, 64 << 20, 8192, 0);
    CHECK(shrunk == grown);
    FAILS(write(ends[1], grown + 8192, 1), EFAULT);
    char *target = map(NULL, 8192, PROT_NONE, 0);
    CHECK(mremap(shrunk, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    SAME_TEXT(target, "moved along");
    CHECK(mremap(shrunk, 4096, 8192, 0) == MAP_FAILED);
    EQUAL(errno, EFAULT);

    OKAY(madvise(target, 4096, MADV_DONTNEED));
    EQUAL(target[0], 0);
    OKAY(madvise(target, 4096, MADV_NORMAL));
    FAILS(madvise(target, 4096, 9999), EINVAL);
    unsigned char present[2];
    target[0] = 1;
    OKAY(mincore(target, 4096, present));
    EQUAL(present[0] & 1, 1);
    FAILS(mincore(far, 4096, present), ENOMEM);
    OKAY(mlock(target, 4096));
    OKAY(munlock(target, 4096));
    OKAY(msync(target, 4096, MS_SYNC));

    char *before = sbrk(0);
    CHECK(sbrk(1 << 20) == before);
    memset(before, 'b', 1 << 20);
    CHECK(sbrk(0) == before + (1 << 20));
    CHECK(sbrk(-(1 << 20)) == before + (1 << 20));
    CHECK(sbrk(4096) == before);
    EQUAL(before[0], 0);
    EQUAL(syscall(SYS_brk, 0), before + 4096);
    EQUAL(syscall(SYS_brk, 1), before + 4096);

    /* Code made at run time. */
    unsigned char *code = (unsigned char *)map(NULL, 4096, rw, 0);
    memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);
    OKAY(mprotect(code, 4096, PROT_READ | PROT_EXEC));
    EQUAL(((int (*)(void))code)(), 42);
    OKAY(mprotect(code, 4096, rw | PROT_EXEC));
    code[1] = 43;
    EQUAL(((int (*)(void))code)(), 43);

    /* Reserved, hardly used; and a good deal that is used. */
    char *huge = map(NULL, 64l << 30, PROT_NONE, MAP_NORESERVE);
    OKAY(mprotect(huge + (32l << 30), 4096, rw));
    huge[32l << 30] = 'h';
    char *used = map(NULL, 100 << 20, rw, 0);
    for (long i = 0; i < 100 << 20; i += 4096)
        used[i] = (char)(i >> 12);
    for (long i = 0; i < 100 << 20; i += 4096)
        EQUAL(used[i], (char)(i >> 12));
    EQUAL(huge[32l << 30], 'h');
    for (int i = 0; i < 2000; i++)
        OKAY(munmap(used + i * 8192l, 4096));
    OKAY(munmap(used, 100 << 20));
    return ok("mmap_anonymous");
}
