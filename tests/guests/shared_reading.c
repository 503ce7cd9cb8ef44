/* A shared mapping of a file, only for reading, shows what is written to the file afterwards. */
#include "guest.h"

int main(void)
{
    int fd = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600));
    write_all(fd, "before", 6);
    char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, (int)OKAY(open("file", O_RDONLY)), 0);
    CHECK(shared != MAP_FAILED);
    SAME_TEXT(shared, "before");
    EQUAL(OKAY(pwrite(fd, "after!", 6, 0)), 6);
    SAME_TEXT(shared, "after!");
    pid_t child = CHILD(EQUAL(OKAY(pwrite(fd, "child!", 6, 0)), 6));
    EXITS(child, 0);
    SAME_TEXT(shared, "child!");
    return ok("shared_reading");
}
