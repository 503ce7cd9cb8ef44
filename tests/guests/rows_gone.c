/* Calls that kernels have had, and numbers that none has: each is refused as natively. */
#include "shown.h"

int main(void)
{
    TRY(uselib, "a");
    TRY(_sysctl, WILD);
    TRY(create_module, "a", 1);
    TRY(get_kernel_syms, NULL);
    TRY(query_module, NULL, 0, NULL, 0, NULL);
    TRY(nfsservctl, 0, NULL, NULL);
    TRY(getpmsg, 0, NULL, NULL, NULL, NULL);
    TRY(putpmsg, 0, NULL, NULL, 0, 0);
    TRY(afs_syscall);
    TRY(tuxcall);
    TRY(security);
    TRY(vserver);
    TRY(set_thread_area, WILD);
    TRY(get_thread_area, WILD);
    TRY(lookup_dcookie, 0, NULL, 0);
    TRY(epoll_ctl_old, 0, 0, 0, NULL);
    TRY(epoll_wait_old, 0, NULL, 0, 0);
    for (long nr = 335; nr <= 423; nr++) {
        errno = 0;
        // Two of these are entered by the kernel's own probes, and kill whoever makes them.
        if (nr <= 336)
            continue;
        EQUAL(syscall(nr, WILD, -1L, WILD, -1L, WILD, -1L), -1);
        EQUAL(errno, ENOSYS);
    }
    FAILS(syscall(5000L), ENOSYS);
    FAILS(syscall(0x7fffffffL), ENOSYS);
    FAILS(syscall(-1L), ENOSYS);
    return ok("rows_gone");
}
