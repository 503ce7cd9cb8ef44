/* As many mappings as a process may have, vm.max_map_count, and not one more. */
#include "guest.h"

static long lines(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    long count = 0;
    for (int c; (c = getc(maps)) != EOF;)
        count += c == '\n';
    ZERO(fclose(maps));
    return count;
}

int main(void)
{
    long most = strtol(file_text("/proc/sys/vm/max_map_count"), NULL, 10);
    if (most > 100000) /* Some distributions allow a million. */
        return ok("scale_mappings");
    size_t bytes = (size_t)(2 * most + 2) * 4096;
    char *room = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(room != MAP_FAILED);
    lines();
    long made = 0, before = lines();
    while (mprotect(room + (2 * made + 1) * 4096, 4096, PROT_READ | PROT_WRITE) == 0) {
        room[(2 * made + 1) * 4096] = (char)made;
        made++;
    }
    EQUAL(errno, ENOMEM);
    long shown = lines();
    /* The last attempt may have cut one in two before it failed. */
    CHECK(shown - before == 2 * made || shown - before == 2 * made + 1);
    /* The kernel's own page at the end of memory is a line and no mapping. */
    CHECK(shown >= most - 1 && shown <= most + 2);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED || errno == ENOMEM);
    for (long i = 0; i < made; i++)
        EQUAL(room[(2 * i + 1) * 4096], (char)i);
    EXITS(CHILD(for (long i = 0; i < made; i++) EQUAL(room[(2 * i + 1) * 4096], (char)i);), 0);
    OKAY(munmap(room, bytes));
    return ok("scale_mappings");
}
