/* Arguments and environment at the kernel's limits: execve(2), E2BIG; what arrives of them. */
#include "guest.h"

#define STRING_MAX (32 * 4096)

/* In the program that was executed: how much came, and whether it is whole. */
static int arrived(int count, char **arguments)
{
    size_t bytes = 0;
    for (int i = 2; i < count; i++) {
        size_t length = strlen(arguments[i]);
        for (size_t j = 0; j < length; j++)
            CHECK(arguments[i][j] == (char)('a' + i % 26));
        bytes += length;
    }
    EQUAL(bytes, strtoull(arguments[1], NULL, 10));
    return 0;
}

/* Executes this program with `count` arguments of `length` bytes each: 0, or the errno. */
static int with(long count, size_t length)
{
    char total[32];
    snprintf(total, sizeof total, "%zu", (size_t)count * length);
    char **arguments = calloc((size_t)count + 3, sizeof *arguments);
    arguments[0] = "/proc/self/exe";
    arguments[1] = total;
    for (long i = 2; i < count + 2; i++) {
        arguments[i] = malloc(length + 1);
        memset(arguments[i], 'a' + (int)(i % 26), length);
        arguments[i][length] = 0;
    }
    int status = wait_for(CHILD({
        char *none[] = {NULL};
        execve("/proc/self/exe", arguments, none);
        _exit(errno);
    }));
    CHECK(WIFEXITED(status));
    for (long i = 2; i < count + 2; i++)
        free(arguments[i]);
    free(arguments);
    return WEXITSTATUS(status);
}

int main(int count, char **arguments)
{
    if (count > 1)
        return arrived(count, arguments);
    EQUAL(with(1, STRING_MAX - 1), 0);
    EQUAL(with(1, STRING_MAX), E2BIG);
    EQUAL(with(3, STRING_MAX - 1), 0);
    EQUAL(with(40000, 8), 0);
    /* A quarter of the stack's limit: where exactly must be the same everywhere. */
    long fits = 1, not = 40;
    while (not - fits > 1) {
        long middle = (fits + not) / 2;
        int error = with(middle, 100000);
        CHECK(error == 0 || error == E2BIG);
        *(error == 0 ? &fits : &not) = middle;
    }
    printf("%ld strings of 100000 bytes\n", fits);
    long fewest = 50000, most = 400000;
    while (most - fewest > 200) {
        long middle = (fewest + most) / 2;
        int error = with(middle, 5);
        CHECK(error == 0 || error == E2BIG);
        *(error == 0 ? &fewest : &most) = middle;
    }
    printf("%ld strings of 5 bytes\n", fewest);
    return ok("scale_arguments");
}
