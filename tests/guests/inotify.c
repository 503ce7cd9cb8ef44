/* inotify: events in order, names, cookies of a rename; changes made by a child. */
#include "guest.h"
#include <sys/inotify.h>

static int watcher, watch;

static uint32_t expect(uint32_t mask, const char *name)
{
    static char buffer[4096] __attribute__((aligned(8)));
    static ssize_t filled, at;
    if (at >= filled) {
        filled = OKAY(read(watcher, buffer, sizeof buffer));
        at = 0;
    }
    struct inotify_event *event = (struct inotify_event *)(buffer + at);
    at += (ssize_t)sizeof *event + event->len;
    EQUAL(event->mask, mask);
    EQUAL(event->wd, watch);
    SAME_TEXT(event->len ? event->name : "", name);
    return event->cookie;
}

int main(void)
{
    char small[8];
    OKAY(mkdir("dir", 0755));
    watcher = (int)OKAY(inotify_init1(IN_CLOEXEC));
    watch = (int)OKAY(inotify_add_watch(watcher, "dir", IN_CREATE | IN_CLOSE_WRITE | IN_MOVE | IN_DELETE | IN_DELETE_SELF));
    FAILS(inotify_add_watch(watcher, "nothing", IN_CREATE), ENOENT);
    make_file("dir/first", "1");
    FAILS(read(watcher, small, sizeof small), EINVAL);
    expect(IN_CREATE, "first");
    expect(IN_CLOSE_WRITE, "first");
    OKAY(rename("dir/first", "dir/second"));
    uint32_t cookie = expect(IN_MOVED_FROM, "first");
    EQUAL(expect(IN_MOVED_TO, "second"), cookie);
    pid_t child = CHILD({
        pause_ms(10);
        OKAY(mkdir("dir/by-child", 0700));
    });
    expect(IN_CREATE | IN_ISDIR, "by-child");
    EXITS(child, 0);
    OKAY(rmdir("dir/by-child"));
    expect(IN_DELETE | IN_ISDIR, "by-child");
    OKAY(unlink("dir/second"));
    expect(IN_DELETE, "second");
    OKAY(rmdir("dir"));
    expect(IN_DELETE_SELF, "");
    expect(IN_IGNORED, "");
    FAILS(inotify_rm_watch(watcher, watch), EINVAL);
    return ok("inotify");
}
