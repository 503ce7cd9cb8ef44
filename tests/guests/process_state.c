/* prctl, the auxiliary vector, the environment, personality, getrandom. */
#include "guest.h"
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>

extern char **environ;

int main(int count, char **arguments)
{
    char name[16];
    EQUAL(count, 1);
    CHECK(strcmp(arguments[0] + strlen(arguments[0]) - 13, "process_state") == 0);
    SAME_TEXT(getenv("GUEST_GREETING") == NULL ? "none" : getenv("GUEST_GREETING"), "none");
    CHECK(getenv("PATH") != NULL && getenv("LD_PRELOAD") == NULL);
    EQUAL(getauxval(AT_PAGESZ), 4096);
    EQUAL(getauxval(AT_UID), getuid());
    EQUAL(getauxval(AT_EUID), geteuid());
    EQUAL(getauxval(AT_SECURE), 0);
    CHECK(strcmp((char *)getauxval(AT_EXECFN), arguments[0]) == 0);
    CHECK(getauxval(AT_RANDOM) != 0 && getauxval(AT_SYSINFO_EHDR) != 0 && getauxval(AT_BASE) != 0);
    SAME_TEXT((char *)getauxval(AT_PLATFORM), "x86_64");
    CHECK(memcmp((char *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4) == 0);

    OKAY(prctl(PR_GET_NAME, name));
    SAME_TEXT(name, "process_state");
    OKAY(prctl(PR_SET_NAME, "a name that is too long"));
    OKAY(prctl(PR_GET_NAME, name));
    SAME_TEXT(name, "a name that is ");
    EQUAL(OKAY(prctl(PR_GET_DUMPABLE)), 1);
    OKAY(prctl(PR_SET_DUMPABLE, 0));
    EQUAL(OKAY(prctl(PR_GET_DUMPABLE)), 0);
    OKAY(prctl(PR_SET_DUMPABLE, 1));
    OKAY(prctl(PR_SET_PDEATHSIG, SIGTERM));
    int value = 0;
    OKAY(prctl(PR_GET_PDEATHSIG, &value));
    EQUAL(value, SIGTERM);
    OKAY(prctl(PR_SET_PDEATHSIG, 0));
    OKAY(prctl(PR_SET_KEEPCAPS, 1));
    EQUAL(OKAY(prctl(PR_GET_KEEPCAPS)), 1);
    EQUAL(OKAY(prctl(PR_GET_TIMERSLACK)), 50000);
    OKAY(prctl(PR_SET_TIMERSLACK, 60000));
    EQUAL(OKAY(prctl(PR_GET_TIMERSLACK)), 60000);
    FAILS(prctl(99999), EINVAL);
    /* Once given up, for good, by children too. */
    pid_t child = CHILD({
        OKAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        EQUAL(OKAY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), 1);
    });
    EXITS(child, 0);
    EQUAL(OKAY(personality(0xffffffff)), 0);

    unsigned char a[32], b[32];
    EQUAL(OKAY(getrandom(a, sizeof a, 0)), sizeof a);
    child = CHILD({
        EQUAL(OKAY(getrandom(b, sizeof b, GRND_NONBLOCK)), sizeof b);
        CHECK(memcmp(a, b, sizeof a) != 0);
    });
    EXITS(child, 0);
    OKAY(setenv("ADDED", "yes", 1));
    child = CHILD(OKAY(execl("/bin/sh", "sh", "-c", "test \"$ADDED\" = yes", NULL)));
    EXITS(child, 0);
    return ok("process_state");
}
