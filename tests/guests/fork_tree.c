/* A tree of processes, a chain 30 deep, and 300 short ones. */
#include "guest.h"

static int tree(int depth)
{
    if (depth == 0)
        return 1;
    int sum = 1;
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        children[i] = CHILD(_exit(tree(depth - 1)));
    for (int i = 0; i < 3; i++)
        sum += WEXITSTATUS(wait_for(children[i]));
    return sum;
}

static int chain(int depth)
{
    if (depth == 0)
        return 0;
    pid_t child = CHILD(_exit(chain(depth - 1)));
    return WEXITSTATUS(wait_for(child)) + 1;
}

int main(void)
{
    EQUAL(tree(4), 1 + 3 + 9 + 27 + 81);
    EQUAL(chain(30), 30);
    for (int i = 0; i < 300; i++) {
        pid_t child = CHILD(_exit(i & 0x7f));
        EXITS(child, i & 0x7f);
    }
    return ok("fork_tree");
}
