/* The errno of execve, and the shell's answer to a script without #!. */
#include "guest.h"

int main(void)
{
    char *arguments[] = {"x", NULL};
    make_file("plain", "echo a script without an interpreter line\nexit 6\n");
    make_file("bad-interpreter", "#!/nothing/here\n");
    make_file("interpreter-plain", "#!./plain-not-executable\n");
    make_file("empty", "");
    make_file("no-magic", "\177ELF but not really");
    OKAY(mkdir("dir", 0755));

    FAILS(execv("nothing", arguments), ENOENT);
    FAILS(execv("", arguments), ENOENT);
    FAILS(execv("plain", arguments), EACCES);
    FAILS(execv("dir", arguments), EACCES);
    FAILS(execv("plain/below", arguments), ENOTDIR);
    OKAY(chmod("plain", 0755));
    OKAY(chmod("bad-interpreter", 0755));
    OKAY(chmod("interpreter-plain", 0755));
    OKAY(chmod("empty", 0755));
    OKAY(chmod("no-magic", 0755));
    make_file("plain-not-executable", "x");
    FAILS(execv("plain", arguments), ENOEXEC);
    FAILS(execv("empty", arguments), ENOEXEC);
    FAILS(execv("no-magic", arguments), ENOEXEC);
    FAILS(execv("bad-interpreter", arguments), ENOENT);
    FAILS(execv("interpreter-plain", arguments), EACCES);
    OKAY(symlink("round", "round"));
    FAILS(execv("round", arguments), ELOOP);
    FAILS(execvp("homenode-no-such-command", arguments), ENOENT);

    /* A file open for writing cannot be executed. */
    pid_t child = CHILD({
        OKAY(execl("/bin/cp", "cp", "/bin/true", "busy", NULL));
    });
    EXITS(child, 0);
    int writer = (int)OKAY(open("busy", O_WRONLY));
    FAILS(execv("busy", arguments), ETXTBSY);
    OKAY(close(writer));
    child = CHILD(OKAY(execv("./busy", arguments)));
    EXITS(child, 0);

    /* execvp gives such a file to the shell. */
    fflush(stdout);
    child = CHILD(OKAY(execvp("./plain", arguments)));
    EXITS(child, 6);
    /* A process whose exec failed still works. */
    child = CHILD({
        FAILS(execv("nothing", arguments), ENOENT);
        FAILS(execv("no-magic", arguments), ENOEXEC);
        _exit(8);
    });
    EXITS(child, 8);
    OKAY(unlink("busy"));
    return ok("exec_errors");
}
