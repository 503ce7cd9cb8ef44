/* Those who are told what happens to files: inotify, fanotify, dnotify, leases; and event counters. */
#include "shown.h"
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>

static void inotify(void)
{
    char buffer[4096];
    int fd = (int)TRY(inotify_init);
    TRY(inotify_init1, 1);
    TRY(inotify_add_watch, fd, "d", IN_CREATE | IN_DELETE | IN_ONLYDIR);
    TRY(inotify_add_watch, fd, "d", IN_MOVED_TO | IN_MASK_ADD);
    TRY(inotify_add_watch, fd, "d", IN_MOVED_TO | IN_MASK_CREATE);
    TRY(inotify_add_watch, fd, "d", 0);
    TRY(inotify_add_watch, fd, "missing", IN_CREATE);
    TRY(inotify_add_watch, fd, WILD, IN_CREATE);
    TRY(inotify_add_watch, 0, "d", IN_CREATE);
    TRY(inotify_add_watch, -1, "d", IN_CREATE);
    make_file("d/x", "");
    OKAY(unlink("d/x"));
    TRY(ioctl, fd, FIONREAD, buffer);
    SHOW(*(int *)buffer);
    TRY(read, fd, buffer, 8);
    long length = TRY(read, fd, buffer, sizeof buffer);
    for (char *at = buffer; at < buffer + length;) {
        struct inotify_event *event = (struct inotify_event *)at;
        printf("  watch %d, %#x, %s\n", event->wd, event->mask, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
    TRY(inotify_rm_watch, fd, 1);
    TRY(inotify_rm_watch, fd, 1);
    TRY(inotify_rm_watch, 0, 1);
    TRY(inotify_rm_watch, -1, 1);
    OKAY(close(fd));
}

static void fanotify(void)
{
    TRY(fanotify_init, 0x80000000, 0);
    TRY(fanotify_init, FAN_CLASS_NOTIF, 0x80000000);
    TRY(fanotify_init, FAN_CLASS_NOTIF | FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT, O_RDONLY);
    TRY(fanotify_mark, 0, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "d");
    TRY(fanotify_mark, -1, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "d");
    // Without descriptors of the files, it is for everybody.
    int fd = (int)TRY(fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);
    if (fd == -1)
        return;
    TRY(fanotify_mark, fd, FAN_MARK_ADD, FAN_CREATE | FAN_DELETE, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_ADD | FAN_MARK_REMOVE, FAN_CREATE, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_ADD, 0, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN, AT_FDCWD, "plain");
    TRY(fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "missing");
    TRY(fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, WILD);
    TRY(fanotify_mark, fd, FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW, FAN_MODIFY, AT_FDCWD, "plain");
    make_file("d/x", "");
    OKAY(unlink("d/x"));
    char buffer[4096];
    long length = SEE(read(fd, buffer, sizeof buffer));
    for (char *at = buffer; at < buffer + length;) {
        struct fanotify_event_metadata *event = (struct fanotify_event_metadata *)at;
        printf("  version %d, %#llx, descriptor %d, by itself: %d\n", event->vers,
               (unsigned long long)event->mask, event->fd, event->pid == getpid());
        at += event->event_len;
    }
    TRY(fanotify_mark, fd, FAN_MARK_REMOVE, FAN_CREATE | FAN_DELETE, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_REMOVE, FAN_CREATE, AT_FDCWD, "d");
    TRY(fanotify_mark, fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
    OKAY(close(fd));
    // With descriptors, and asked for permission, for those who may.
    fd = (int)TRY(fanotify_init, FAN_CLASS_CONTENT | FAN_NONBLOCK, O_RDONLY);
    if (fd == -1)
        return;
    TRY(fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_CLOSE_WRITE, AT_FDCWD, "plain");
    pid_t child = CHILD({ _exit(open("plain", O_RDONLY) == -1 ? errno : 0); });
    struct pollfd polled = {fd, POLLIN, 0};
    EQUAL(poll(&polled, 1, 10000), 1);
    length = SEE(read(fd, buffer, sizeof buffer));
    struct fanotify_event_metadata *event = (struct fanotify_event_metadata *)buffer;
    SHOW(event->mask);
    SHOW(event->fd);
    SHOW(event->pid == child);
    struct fanotify_response response = {event->fd, FAN_DENY};
    SEE(write(fd, &response, sizeof response));
    EXITS(child, EPERM);
    OKAY(close(event->fd));
    OKAY(close(fd));
}

static void counters(void)
{
    uint64_t value = 5;
    int fd = (int)TRY(eventfd2, 3, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    TRY(eventfd2, 3, 8);
    TRY(read, fd, &value, sizeof value);
    SHOW(value);
    TRY(read, fd, &value, 4);
    TRY(write, fd, &value, 4);
    value = -1UL;
    TRY(write, fd, &value, sizeof value);
    TRY(lseek, fd, 0, SEEK_SET);
    OKAY(close(fd));
    fd = (int)TRY(eventfd, 1);
    TRY(read, fd, &value, sizeof value);
    OKAY(close(fd));
}

static void signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    TRY(signalfd4, -1, &set, 7, 0);
    TRY(signalfd4, -1, WILD, 8, 0);
    TRY(signalfd4, -1, &set, 8, 1);
    TRY(signalfd4, 0, &set, 8, 0);
    TRY(signalfd4, 99, &set, 8, 0);
}

static volatile sig_atomic_t told;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    told = info->si_fd + 1000 * (info->si_code == SI_SIGIO || info->si_code > 0);
}

static void directories(void)
{
    int directory = (int)OKAY(open("d", O_RDONLY | O_DIRECTORY));
    handle(SIGRTMIN, hear, 0);
    TRY(fcntl, directory, F_SETSIG, SIGRTMIN);
    TRY(fcntl, directory, F_GETSIG);
    TRY(fcntl, directory, F_SETSIG, 100);
    TRY(fcntl, directory, F_NOTIFY, DN_CREATE | DN_MULTISHOT);
    TRY(fcntl, 0, F_NOTIFY, DN_CREATE);
    make_file("d/x", "");
    OKAY(unlink("d/x"));
    for (int tries = 0; told == 0 && tries < 5000; tries++)
        pause_ms(1);
    SHOW(told - directory);
    TRY(fcntl, directory, F_NOTIFY, 0);
    OKAY(close(directory));
    int plain = (int)OKAY(open("plain", O_RDONLY));
    TRY(fcntl, plain, F_SETLEASE, F_RDLCK);
    TRY(fcntl, plain, F_GETLEASE);
    TRY(fcntl, plain, F_SETLEASE, F_WRLCK);
    TRY(fcntl, plain, F_SETLEASE, 9);
    TRY(fcntl, plain, F_SETLEASE, F_UNLCK);
    TRY(fcntl, 0, F_SETLEASE, F_RDLCK);
    OKAY(close(plain));
}

int main(void)
{
    OKAY(mkdir("d", 0700));
    make_file("plain", "");
    inotify();
    fanotify();
    counters();
    signals();
    directories();
    OKAY(rmdir("d"));
    OKAY(unlink("plain"));
    return ok("rows_notify");
}
