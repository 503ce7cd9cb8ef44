/*
 * Calls made without libc's help, with their results and errors printed: what they are to be is not
 * written down, the native run says it. Nothing may be printed that differs between two native runs.
 */
#ifndef SHOWN_H
#define SHOWN_H

#include "guest.h"

/* Numbers that the C library may be too old to know. */
enum {
#ifndef SYS_cachestat
    SYS_cachestat = 451,
#endif
#ifndef SYS_fchmodat2
    SYS_fchmodat2 = 452,
#endif
#ifndef SYS_statmount
    SYS_statmount = 457,
    SYS_listmount = 458,
#endif
#ifndef SYS_lsm_get_self_attr
    SYS_lsm_get_self_attr = 459,
    SYS_lsm_set_self_attr = 460,
    SYS_lsm_list_modules = 461,
#endif
#ifndef SYS_setxattrat
    SYS_setxattrat = 463,
    SYS_getxattrat = 464,
    SYS_listxattrat = 465,
    SYS_removexattrat = 466,
#endif
#ifndef SYS_open_tree_attr
    SYS_open_tree_attr = 467,
#endif
#ifndef SYS_file_getattr
    SYS_file_getattr = 468,
    SYS_file_setattr = 469,
#endif
};

/* Addresses at which nothing is: the first page, the last, and one no user has. */
#define WILD ((void *)8)
#define LAST_PAGE ((void *)-4096L)
#define KERNEL ((void *)(1UL << 63))

/* Prints what a call answered; the answer. */
__attribute__((unused)) static long shown(const char *call, long result)
{
    if (result == -1)
        printf("%s = %s\n", call, strerrorname_np(errno));
    else
        printf("%s = %ld\n", call, result);
    return result;
}

/* The same where the result is an identifier or a time: not the same in another run. */
__attribute__((unused)) static long shown_some(const char *call, long result)
{
    if (result == -1)
        printf("%s = %s\n", call, strerrorname_np(errno));
    else
        printf("%s = %s\n", call, result == 0 ? "0" : "some");
    return result;
}

/* Prints bytes, as many as are not zero at the end. */
__attribute__((unused)) static void show_bytes(const char *what, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    while (length > 0 && bytes[length - 1] == 0)
        length--;
    printf("  %s:", what);
    for (size_t at = 0; at < length; at++)
        printf("%s%02x", at % 4 == 0 ? " " : "", bytes[at]);
    printf("\n");
}

/* Prints an integer. */
#define SHOW(value) printf("  %s: %lld\n", #value, (long long)(value))

#define SIX_(nr, a, b, c, d, e, f, ...) \
    (errno = 0, syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))
/* The call itself: arguments that are not given are 0. */
#define RAW(name, ...) SIX_(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
/* Makes the call and prints what it answers. */
#define TRY(name, ...) shown(#name "(" #__VA_ARGS__ ")", RAW(name, ##__VA_ARGS__))
/* The same, printing only whether there is a result. */
#define TRY_SOME(name, ...) shown_some(#name "(" #__VA_ARGS__ ")", RAW(name, ##__VA_ARGS__))
/* A call of libc, likewise. */
#define SEE(call) shown(#call, (errno = 0, (long)(call)))

/* Runs the body in a child, which must come to its end; prints its output where it belongs. */
#define APART(...) \
    do { \
        fflush(stdout); \
        pid_t apart_ = CHILD({ \
            __VA_ARGS__; \
            fflush(stdout); \
        }); \
        EXITS(apart_, 0); \
    } while (0)

/* One call or group of calls that is made by a program of its own: what brings a process home brings
 * only this one there. */
struct alone {
    const char *name;
    void (*body)(void);
};

/* Executes this program again for each; to be called first in main, with its arguments. */
__attribute__((unused)) static void each_alone(int argc, char **argv, const struct alone *all)
{
    if (argc == 2) {
        for (; all->name != NULL; all++)
            if (strcmp(all->name, argv[1]) == 0) {
                printf("%s\n", all->name);
                all->body();
                exit(fflush(stdout) == 0 ? 0 : GUEST_FAILED);
            }
        exit(GUEST_FAILED);
    }
    for (; all->name != NULL; all++) {
        char *again[] = {argv[0], (char *)all->name, NULL};
        pid_t child = CHILD({
            execv("/proc/self/exe", again);
            _exit(GUEST_FAILED);
        });
        EXITS(child, 0);
    }
}

#endif
