/* Looking into another process: its memory, what it shares with the caller, advice for it. Between two that
 * are elsewhere it works there; while one of the two moves it does not. */
#include "shown.h"
#include <linux/kcmp.h>

#define NOBODY 0x7ffffffe
#define PAGE 4096

static void *page(int flags)
{
    void *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

int main(void)
{
    // Both have it where it was before the fork.
    static char text[16] = "parent";
    char got[16] = {0};
    pid_t child = CHILD({
        strcpy(text, "child");
        raise(SIGSTOP);
        _exit(strcmp(text, "written") == 0 ? 0 : 1);
    });
    int status;
    EQUAL(waitpid(child, &status, WUNTRACED), child);
    struct iovec mine = {got, sizeof got}, its = {text, sizeof text}, wild = {WILD, 16};
    struct iovec both[2] = {{got, 2}, {got + 4, 9}}, half[2] = {{text, 4}, {WILD, 4}}, no = {got, 0};
    struct iovec negative = {got, -1UL};
    TRY(process_vm_readv, child, &mine, 1, &its, 1, 0);
    show_bytes("of the child", got, sizeof got);
    memset(got, 0, sizeof got);
    TRY(process_vm_readv, child, both, 2, half, 2, 0);
    show_bytes("in parts", got, sizeof got);
    TRY(process_vm_readv, child, &no, 1, &its, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, &no, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, &its, 0, 0);
    TRY(process_vm_readv, child, &negative, 1, &its, 1, 0);
    TRY(process_vm_readv, child, WILD, 1, &its, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, WILD, 1, 0);
    TRY(process_vm_readv, child, &wild, 1, &its, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, &its, 1025, 0);
    TRY(process_vm_readv, getpid(), &mine, 1, &its, 1, 0);
    memset(got, 0, sizeof got);
    strcpy(got, "written");
    TRY(process_vm_writev, child, &mine, 1, &its, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, &wild, 1, 0);
    TRY(process_vm_readv, child, &mine, 1, &its, 1, 1);
    TRY(process_vm_readv, child, &mine, -1, &its, 1, 0);
    TRY(process_vm_readv, NOBODY, &mine, 1, &its, 1, 0);
    TRY(process_vm_writev, child, &mine, 1, &wild, 1, 0);
    SHOW(RAW(kcmp, getpid(), child, KCMP_FS, 0, 0) > 0);
    SHOW(RAW(kcmp, getpid(), child, KCMP_VM, 0, 0) > 0);
    TRY(kcmp, getpid(), child, KCMP_FILE, 1, 1);
    static const int types[] = {KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM};
    for (size_t at = 0; at < sizeof types / sizeof *types; at++) {
        EQUAL(RAW(kcmp, getpid(), getpid(), types[at], 0, 0), 0);
        CHECK(RAW(kcmp, getpid(), child, types[at], 0, 0) != -1);
    }
    TRY(kcmp, getpid(), child, KCMP_EPOLL_TFD, 1, WILD);
    TRY(kcmp, getpid(), child, KCMP_EPOLL_TFD, 1, (&(uint32_t[3]){1, 1, 0}));
    TRY(kcmp, getpid(), child, KCMP_FILE, 1, 99);
    TRY(kcmp, getpid(), NOBODY, KCMP_VM, 0, 0);
    TRY(kcmp, getpid(), child, 77, 0, 0);
    int pidfd = (int)OKAY(RAW(pidfd_open, child, 0));
    struct iovec range = {page(MAP_PRIVATE), PAGE};
    TRY(process_madvise, pidfd, &range, 1, MADV_COLD, 0);
    TRY(process_madvise, pidfd, &range, 1, MADV_COLD, 1);
    TRY(process_madvise, pidfd, &range, 1, 1000, 0);
    TRY(process_madvise, -1, &range, 1, MADV_COLD, 0);
    OKAY(kill(child, SIGCONT));
    EXITS(child, 0);
    return ok("rows_other_memory");
}
