/* 200 children alive at once, each with a pipe of its own. */
#include "guest.h"

#define CHILDREN 200

int main(void)
{
    static struct {
        pid_t pid;
        int to, from;
    } children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        int there[2], back[2];
        OKAY(pipe(there));
        OKAY(pipe(back));
        children[i].pid = CHILD({
            for (int j = 0; j < i; j++) {
                close(children[j].to);
                close(children[j].from);
            }
            close(there[1]);
            int number;
            EQUAL(read_all(there[0], &number, sizeof number), sizeof number);
            number += i;
            write_all(back[1], &number, sizeof number);
            await(there[0]);
            _exit(i % 256);
        });
        OKAY(close(there[0]));
        OKAY(close(back[1]));
        children[i].to = there[1];
        children[i].from = back[0];
        for (int j = 0; j < i; j++)
            CHECK(children[j].pid != children[i].pid);
    }
    for (int i = 0; i < CHILDREN; i++)
        write_all(children[i].to, &i, sizeof i);
    for (int i = CHILDREN - 1; i >= 0; i--) {
        int number;
        EQUAL(read_all(children[i].from, &number, sizeof number), sizeof number);
        EQUAL(number, 2 * i);
    }
    for (int i = 0; i < CHILDREN; i++)
        tell(children[i].to);
    for (int i = 0; i < CHILDREN; i++)
        EXITS(children[i].pid, i % 256);
    FAILS(wait(NULL), ECHILD);
    return ok("many_children");
}
