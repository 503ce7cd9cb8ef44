/* uname, gethostname, statfs, sysinfo, sysconf: what they say agrees with each other. */
#include "guest.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void)
{
    struct utsname names;
    OKAY(uname(&names));
    SAME_TEXT(names.sysname, "Linux");
    SAME_TEXT(names.machine, "x86_64");
    char host[256];
    OKAY(gethostname(host, sizeof host));
    SAME_TEXT(host, names.nodename);
    char line[512];
    snprintf(line, sizeof line, "%s\n", names.nodename);
    SAME_TEXT(file_text("/proc/sys/kernel/hostname"), line);
    snprintf(line, sizeof line, "%s\n", names.release);
    SAME_TEXT(file_text("/proc/sys/kernel/osrelease"), line);

    struct statfs here, proc, null;
    OKAY(statfs(".", &here));
    CHECK(here.f_blocks > 0 && here.f_bsize >= 512 && here.f_namelen >= 255);
    OKAY(fstatfs(OKAY(open(".", O_RDONLY)), &null));
    EQUAL(null.f_type, here.f_type);
    EQUAL(null.f_blocks, here.f_blocks);
    OKAY(statfs("/proc", &proc));
    EQUAL(proc.f_type, 0x9fa0);
    OKAY(statfs("/proc/self", &proc));
    EQUAL(proc.f_type, 0x9fa0);
    struct statvfs vfs;
    OKAY(statvfs(".", &vfs));
    EQUAL(vfs.f_namemax, here.f_namelen);
    FAILS(statfs("nothing", &here), ENOENT);

    struct sysinfo info;
    OKAY(sysinfo(&info));
    CHECK(info.totalram > 0 && info.uptime > 0 && info.procs > 0);
    EQUAL(sysconf(_SC_PAGESIZE), 4096);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(sysconf(_SC_OPEN_MAX) > 0);
    /* What the machine is called and has is the home node's: the harness compares it. */
    printf("%s %s %s\n", names.nodename, names.release, names.version);
    printf("%ld processors configured\n", sysconf(_SC_NPROCESSORS_CONF));
    return ok("host_facts");
}
