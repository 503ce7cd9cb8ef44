/* execve with arguments and an environment of almost a megabyte each, with none at all, and with too many. */
#include "guest.h"

extern char **environ;

#define STRINGS 60
#define LENGTH (16 * 1024)

static char **strings(char tag)
{
    char **list = calloc(STRINGS + 2, sizeof *list);
    for (int i = 0; i < STRINGS; i++) {
        list[i] = malloc(LENGTH);
        memset(list[i], 'a' + i % 26, LENGTH - 1);
        list[i][LENGTH - 1] = 0;
        list[i][0] = tag;
        list[i][1] = '=';
    }
    return list;
}

static void same(char **got, char tag)
{
    char **wanted = strings(tag);
    for (int i = 0; i < STRINGS; i++)
        CHECK(got[i] != NULL && strcmp(got[i], wanted[i]) == 0);
    CHECK(got[STRINGS] == NULL);
}

int main(int count, char **arguments)
{
    if (count == STRINGS && arguments[0][0] == 'A') {
        same(arguments, 'A');
        same(environ, 'E');
        int fd = (int)OKAY(open("/proc/self/cmdline", O_RDONLY));
        char *line = malloc(2 << 20);
        EQUAL(read_all(fd, line, 2 << 20), STRINGS * LENGTH);
        return 21;
    }
    if (count == 1 && strcmp(arguments[0], "bare") == 0)
        return environ[0] == NULL ? 22 : 1;
    if (count == 1 && arguments[0][0] == 0)
        return 23;

    pid_t child = CHILD(OKAY(execve("/proc/self/exe", strings('A'), strings('E'))));
    EXITS(child, 21);
    child = CHILD(OKAY(execve("/proc/self/exe", (char *[]){"bare", NULL}, (char *[]){NULL})));
    EXITS(child, 22);
    child = CHILD(OKAY(execve("/proc/self/exe", (char *[]){"bare", NULL}, NULL)));
    EXITS(child, 22);
    /* Without any argument the kernel gives one empty one. */
    child = CHILD(OKAY(execve("/proc/self/exe", (char *[]){NULL}, NULL)));
    EXITS(child, 23);

    char *too_long = malloc(200 * 1024);
    memset(too_long, 'x', 200 * 1024);
    too_long[200 * 1024 - 1] = 0;
    FAILS(execve("/bin/true", (char *[]){"true", too_long, NULL}, NULL), E2BIG);
    char **too_many = calloc(2000001, sizeof *too_many);
    for (int i = 0; i < 2000000; i++)
        too_many[i] = "x";
    FAILS(execve("/bin/true", too_many, NULL), E2BIG);
    /* A failed exec leaves everything as it was. */
    FAILS(execve("./nothing", (char *[]){"x", NULL}, NULL), ENOENT);
    return ok("exec_arguments");
}
