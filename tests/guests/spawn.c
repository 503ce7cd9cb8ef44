/* posix_spawn with file actions and attributes; popen and system. */
#include "guest.h"
#include <spawn.h>

extern char **environ;

int main(void)
{
    pid_t child;
    int ends[2];
    char text[256];
    OKAY(pipe2(ends, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_adddup2(&actions, ends[1], 1));
    ZERO(posix_spawn_file_actions_addopen(&actions, 0, "input", O_RDONLY, 0));
    ZERO(posix_spawn_file_actions_addclose(&actions, ends[1]));
    make_file("input", "from a file\n");
    ZERO(posix_spawnp(&child, "cat", &actions, NULL, (char *[]){"cat", NULL}, environ));
    EXITS(child, 0);
    EQUAL(read(ends[0], text, sizeof text), 12);
    CHECK(memcmp(text, "from a file\n", 12) == 0);

    EQUAL(posix_spawn(&child, "./nothing", NULL, NULL, (char *[]){"x", NULL}, environ), ENOENT);
    EQUAL(posix_spawn(&child, "./input", NULL, NULL, (char *[]){"x", NULL}, environ), EACCES);

    /* The child's mask, dispositions and group are what was asked for. */
    posix_spawnattr_t attributes;
    sigset_t set;
    ZERO(posix_spawnattr_init(&attributes));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    ZERO(posix_spawnattr_setsigmask(&attributes, &set));
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    ZERO(posix_spawnattr_setsigdefault(&attributes, &set));
    ZERO(posix_spawnattr_setpgroup(&attributes, 0));
    ZERO(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_adddup2(&actions, ends[1], 1));
    ZERO(posix_spawnp(&child, "grep", &actions, &attributes,
                      (char *[]){"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL}, environ));
    EXITS(child, 0);
    text[read(ends[0], text, sizeof text - 1)] = 0;
    /* glibc's posix_spawn leaves its own signals 32 and 33 ignored; others need not. */
    unsigned long blocked, ignored;
    EQUAL(sscanf(text, "SigBlk: %lx SigIgn: %lx", &blocked, &ignored), 2);
    EQUAL(blocked, 1ul << (SIGUSR2 - 1));
    EQUAL(ignored & 0x7fffffff, 1ul << (SIGUSR1 - 1));

    signal(SIGTERM, SIG_DFL);
    FILE *out = popen("cat > popened; exit 3", "w");
    CHECK(out != NULL);
    CHECK(fputs("by popen\n", out) >= 0);
    EQUAL(WEXITSTATUS(pclose(out)), 3);
    SAME_TEXT(file_text("popened"), "by popen\n");
    EQUAL(WEXITSTATUS(system("exit 9")), 9);
    EQUAL(WTERMSIG(system("kill -9 $$")), SIGKILL);
    return ok("spawn");
}
