/* Calls on the machine as a whole, none of which changes it: wrong names, lengths and descriptors. */
#include "shown.h"
#include <sys/quota.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>

int main(void)
{
    struct sysinfo info;
    struct utsname names;
    TRY(uname, &names);
    TRY(uname, WILD);
    TRY(sysinfo, &info);
    SHOW(info.mem_unit);
    TRY(sysinfo, WILD);
    char text[512];
    TRY(syslog, 77, text, sizeof text);
    TRY(syslog, 3, NULL, 10);
    TRY(syslog, 3, text, -1);
    TRY(syslog, 2, text, 0);
    TRY_SOME(syslog, 10, NULL, 0);
    TRY_SOME(syslog, 3, text, sizeof text);
    TRY(acct, "missing");
    TRY(acct, ".");
    TRY(acct, WILD);
    TRY(swapon, "missing", 0);
    TRY(swapon, "missing", 0x80000000);
    TRY(swapon, ".", 0);
    TRY(swapon, WILD, 0);
    TRY(swapoff, "missing");
    TRY(swapoff, WILD);
    TRY(reboot, 1, 2, 3, NULL);
    TRY(sethostname, "a", -1);
    TRY(sethostname, "a", 65);
    TRY(sethostname, WILD, 5);
    TRY(setdomainname, "a", -1);
    TRY(setdomainname, "a", 65);
    TRY(setdomainname, WILD, 5);
    TRY(init_module, "no module", 9, "");
    TRY(init_module, WILD, 9, "");
    TRY(init_module, "", 0, "");
    TRY(finit_module, -1, "", 0);
    TRY(finit_module, 0, "", 0x100);
    TRY(delete_module, "no such module", O_NONBLOCK);
    TRY(delete_module, WILD, O_NONBLOCK);
    TRY(kexec_file_load, -1, -1, 0, NULL, 0);
    TRY(kexec_file_load, -1, -1, 0, NULL, 0x100);
    // Without a terminal there is nothing to hang up.
    APART({
        OKAY(setsid());
        TRY(vhangup);
    });
    struct timex timex = {.modes = 0};
    TRY_SOME(adjtimex, WILD);
    EQUAL(RAW(adjtimex, &timex) >= 0, 1);
    SHOW(timex.tick);
    timex.modes = ADJ_TICK;
    timex.tick = 1;
    TRY(adjtimex, &timex);
    timex.modes = 0;
    EQUAL(RAW(clock_adjtime, CLOCK_REALTIME, &timex) >= 0, 1);
    TRY(clock_adjtime, CLOCK_MONOTONIC, &timex);
    TRY(clock_adjtime, 77, &timex);
    TRY(clock_adjtime, CLOCK_REALTIME, WILD);
    struct timespec wrong = {0, 1000000000}, now = {1, 0};
    struct timeval wrong_too = {0, -1};
    TRY(settimeofday, &wrong_too, NULL);
    TRY(settimeofday, WILD, NULL);
    TRY(settimeofday, NULL, WILD);
    TRY(clock_settime, CLOCK_REALTIME, &wrong);
    TRY(clock_settime, CLOCK_MONOTONIC, &now);
    TRY(clock_settime, 77, &now);
    TRY(clock_settime, CLOCK_REALTIME, WILD);
    return ok("rows_host");
}
