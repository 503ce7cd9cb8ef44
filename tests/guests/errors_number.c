/* System call numbers that do not exist answer ENOSYS. */
#include "guest.h"

int main(void)
{
    static const long numbers[] = {337, 400, 423, 600, 999, 100000, INT_MAX, -1, -2};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FAILS(syscall(numbers[i], 1, 2, 3, 4, 5, 6), ENOSYS);
    /* Numbers that were never given a function. */
    FAILS(syscall(SYS_tuxcall, 0), ENOSYS);
    FAILS(syscall(SYS_vserver, 0), ENOSYS);
    FAILS(syscall(SYS_getpmsg, 0), ENOSYS);
    /* The kernel looks at the lower half of the number only. */
    EQUAL(OKAY(syscall(LONG_MIN | SYS_getpid)), getpid());
    EQUAL(OKAY(syscall(1l << 32 | SYS_getppid)), getppid());
    return ok("errors_number");
}
