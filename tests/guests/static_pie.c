/*
 * A static program at an address chosen by the kernel.
 * gcc: -static-pie
 */
#include "guest.h"

int main(void)
{
    make_file("file", "written");
    SAME_TEXT(file_text("file"), "written");
    pid_t child = CHILD(_exit(4));
    EXITS(child, 4);
    return ok("static_pie");
}
