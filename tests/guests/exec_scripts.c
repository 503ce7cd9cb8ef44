/* #! scripts: their arguments, an interpreter that is a script, /proc/self/exe, limits. */
#include "guest.h"

static void script(const char *name, const char *text)
{
    make_file(name, text);
    OKAY(chmod(name, 0755));
}

static const char *output_of(char *const arguments[], int status)
{
    static char text[8192];
    int ends[2];
    OKAY(pipe(ends));
    pid_t child = CHILD({
        OKAY(dup2(ends[1], 1));
        close(ends[0]);
        close(ends[1]);
        OKAY(execv(arguments[0], arguments));
    });
    OKAY(close(ends[1]));
    text[read_all(ends[0], text, sizeof text - 1)] = 0;
    OKAY(close(ends[0]));
    EXITS(child, status);
    return text;
}

int main(void)
{
    script("plain", "#!/bin/sh\necho \"$0 $# $1\"\nexit 3\n");
    SAME_TEXT(output_of((char *[]){"./plain", "an argument", NULL}, 3), "./plain 1 an argument\n");
    script("option", "#!/bin/sh -e\nfalse\necho not reached\n");
    SAME_TEXT(output_of((char *[]){"./option", NULL}, 1), "");
    script("spaces", "#!  /bin/echo   two words  \n");
    SAME_TEXT(output_of((char *[]){"./spaces", "more", NULL}, 0), "two words ./spaces more\n");
    script("nested", "#!./plain inner\n");
    SAME_TEXT(output_of((char *[]){"./nested", "x", NULL}, 3), "./plain 3 inner\n");
    script("env", "#!/usr/bin/env sh\necho by env\n");
    SAME_TEXT(output_of((char *[]){"./env", NULL}, 0), "by env\n");
    script("who", "#!/bin/sh\nread name < /proc/$$/comm\necho \"$name\"\n");
    SAME_TEXT(output_of((char *[]){"./who", NULL}, 0), "who\n");
    script("loop", "#!./loop\n");
    FAILS(execv("./loop", (char *[]){"loop", NULL}), ELOOP);
    script("bare", "#!\n");
    FAILS(execv("./bare", (char *[]){"bare", NULL}), ENOEXEC);

    /* A script by descriptor is opened by its interpreter through /dev/fd. */
    int fd = (int)OKAY(open("plain", O_RDONLY));
    pid_t child = CHILD({
        OKAY(dup2((int)OKAY(open("/dev/null", O_WRONLY)), 1));
        OKAY(fexecve(fd, (char *[]){"plain", NULL}, (char *[]){NULL}));
    });
    EXITS(child, 3);
    OKAY(fcntl(fd, F_SETFD, FD_CLOEXEC));
    FAILS(fexecve(fd, (char *[]){"plain", NULL}, (char *[]){NULL}), ENOENT);
    return ok("exec_scripts");
}
