/* Rules that a process gives itself, and the modules that judge it: landlock, lsm_*. */
#include "shown.h"
#include <linux/landlock.h>

#ifndef LANDLOCK_RULE_NET_PORT
#define LANDLOCK_RULE_NET_PORT 2
#endif

static void rules(void)
{
    struct landlock_ruleset_attr handled = {.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE
                                                               | LANDLOCK_ACCESS_FS_MAKE_REG};
    struct {
        uint64_t fs, net;
    } with_net = {0, 1};
    struct {
        uint64_t fs, rest[6];
    } odd = {1, {0, 0, 0, 0, 0, 1}}, long_ = {1, {0}};
    // The version is the kernel's.
    TRY(landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    TRY(landlock_create_ruleset, &handled, sizeof handled, 0x100);
    TRY(landlock_create_ruleset, NULL, 8, 0);
    TRY(landlock_create_ruleset, WILD, 8, 0);
    TRY(landlock_create_ruleset, &handled, 4, 0);
    TRY(landlock_create_ruleset, &handled, 5000, 0);
    TRY(landlock_create_ruleset, &odd, sizeof odd, 0);
    TRY(landlock_create_ruleset, (&(uint64_t){0}), 8, 0);
    TRY(landlock_create_ruleset, (&(uint64_t){1UL << 60}), 8, 0);
    int fd = (int)TRY(landlock_create_ruleset, &long_, sizeof long_, 0);
    if (fd == -1)
        return;
    OKAY(close(fd));
    fd = (int)TRY(landlock_create_ruleset, &handled, 8, 0);
    int here = (int)OKAY(open("d", O_PATH | O_CLOEXEC));
    struct landlock_path_beneath_attr beneath = {LANDLOCK_ACCESS_FS_WRITE_FILE, here};
    struct landlock_path_beneath_attr nothing = {0, here}, other = {1UL << 60, here}, nowhere = {2, 99};
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 1);
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &nothing, 0);
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &other, 0);
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &nowhere, 0);
    TRY(landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, WILD, 0);
    TRY(landlock_add_rule, fd, 77, &beneath, 0);
    TRY(landlock_add_rule, 0, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    TRY(landlock_add_rule, -1, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    int net = (int)TRY(landlock_create_ruleset, &with_net, sizeof with_net, 0);
    if (net != -1) {
        struct {
            uint64_t allowed, port;
        } port = {1, 1234}, beyond = {1, 1 << 20};
        TRY(landlock_add_rule, net, LANDLOCK_RULE_NET_PORT, &port, 0);
        TRY(landlock_add_rule, net, LANDLOCK_RULE_NET_PORT, &beyond, 0);
        TRY(landlock_add_rule, net, LANDLOCK_RULE_NET_PORT, WILD, 0);
        OKAY(close(net));
    }
    TRY(landlock_restrict_self, -1, 0);
    TRY(landlock_restrict_self, 0, 0);
    TRY(landlock_restrict_self, fd, 0x100);
    APART({
        TRY(prctl, 38, 1, 0, 0, 0); // PR_SET_NO_NEW_PRIVS
        TRY(landlock_restrict_self, fd, 0);
        SEE(open("d/inside", O_WRONLY));
        SEE(open("outside", O_WRONLY));
        SEE(open("outside", O_RDONLY));
        SEE(open("new", O_WRONLY | O_CREAT, 0600));
        // Children are restricted too, and so is what they execute.
        APART({
            SEE(open("outside", O_WRONLY));
            execl("/bin/sh", "sh", "-c", "echo x 2>/dev/null >outside || echo refused", NULL);
        });
    });
    OKAY(close(fd));
    OKAY(close(here));
}

static void modules(void)
{
    uint64_t buffer[64] = {0};
    uint32_t size = sizeof buffer;
    TRY(lsm_list_modules, buffer, &size, 0);
    SHOW(size);
    show_bytes("modules", buffer, sizeof buffer);
    size = 4;
    TRY(lsm_list_modules, buffer, &size, 0);
    SHOW(size);
    size = sizeof buffer;
    TRY(lsm_list_modules, buffer, &size, 1);
    TRY(lsm_list_modules, WILD, &size, 0);
    TRY(lsm_list_modules, buffer, WILD, 0);
    size = sizeof buffer;
    TRY(lsm_get_self_attr, 100, buffer, &size, 0);
    SHOW(size);
    size = 0;
    TRY(lsm_get_self_attr, 100, NULL, &size, 0);
    SHOW(size);
    TRY(lsm_get_self_attr, 100, buffer, WILD, 0);
    size = sizeof buffer;
    TRY(lsm_get_self_attr, 100, WILD, &size, 0);
    TRY(lsm_get_self_attr, 0, buffer, &size, 0);
    size = sizeof buffer;
    TRY(lsm_get_self_attr, 100, buffer, &size, 1);
    memset(buffer, 0, sizeof buffer);
    TRY(lsm_set_self_attr, 100, buffer, 32, 0);
    TRY(lsm_set_self_attr, 100, buffer, 8, 0);
    TRY(lsm_set_self_attr, 100, buffer, 32, 1);
    TRY(lsm_set_self_attr, 100, WILD, 32, 0);
}

int main(void)
{
    OKAY(mkdir("d", 0700));
    make_file("d/inside", "");
    make_file("outside", "");
    rules();
    modules();
    unlink("new");
    OKAY(unlink("d/inside"));
    OKAY(unlink("outside"));
    OKAY(rmdir("d"));
    return ok("rows_security");
}
