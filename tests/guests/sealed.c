/* PR_SET_MDWE: what takes no new code goes on as it is, and so do its children and what they execute. */
#include "guest.h"
#include <sys/prctl.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define REFUSE_EXEC_GAIN 1

static void check_sealed(void)
{
    EQUAL(prctl(PR_GET_MDWE, 0, 0, 0, 0), REFUSE_EXEC_GAIN);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page == MAP_FAILED && errno == EACCES);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    EQUAL(mprotect(page, 4096, PROT_READ | PROT_EXEC), -1);
    EQUAL(errno, EACCES);
    OKAY(munmap(page, 4096));
    pause_ms(150);
}

/* The lowest descriptor that is free. */
static int free_descriptor(void)
{
    int fd = (int)OKAY(open("/dev/null", O_RDONLY));
    OKAY(close(fd));
    return fd;
}

int main(int count, char **arguments)
{
    if (count > 1) {
        check_sealed();
        EQUAL(free_descriptor(), atoi(arguments[1]));
        return 0;
    }
    if (prctl(PR_GET_MDWE, 0, 0, 0, 0) == -1 && errno == EINVAL)
        return ok("sealed"); /* Linux before 6.3 */
    EQUAL(prctl(PR_GET_MDWE, 0, 0, 0, 0), 0);
    EQUAL(prctl(PR_SET_MDWE, 1 << 30, 0, 0, 0), -1);
    EQUAL(errno, EINVAL);
    OKAY(prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0));
    check_sealed();
    EQUAL(prctl(PR_SET_MDWE, 0, 0, 0, 0), -1);
    EQUAL(errno, EPERM);
    char number[16];
    snprintf(number, sizeof number, "%d", free_descriptor());
    pid_t child = CHILD({
        check_sealed();
        OKAY(execl("/proc/self/exe", "sealed", number, NULL));
    });
    EXITS(child, 0);
    return ok("sealed");
}
