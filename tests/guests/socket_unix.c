/* Unix sockets: stream, datagram, seqpacket, abstract names, SCM_RIGHTS, credentials. */
#include "guest.h"
#include <sys/un.h>

static void send_fd(int socket, int fd, char byte)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    EQUAL(OKAY(sendmsg(socket, &message, 0)), 1);
}

static int receive_fd(int socket, char expected)
{
    char control[256], byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    EQUAL(OKAY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC)), 1);
    EQUAL(byte, expected);
    EQUAL(message.msg_flags & MSG_CTRUNC, 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)));
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    EQUAL(OKAY(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    return fd;
}

int main(void)
{
    char text[64];
    int pair[2];
    OKAY(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    write_all(pair[0], "stream of ", 10);
    write_all(pair[0], "bytes", 5);
    EQUAL(OKAY(recv(pair[1], text, 4, MSG_PEEK)), 4);
    EQUAL(OKAY(recv(pair[1], text, sizeof text, MSG_WAITALL | MSG_DONTWAIT)), 15);
    CHECK(memcmp(text, "stream of bytes", 15) == 0);
    FAILS(recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);

    struct ucred peer;
    socklen_t length = sizeof peer;
    OKAY(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    EQUAL(peer.pid, getpid());
    EQUAL(peer.uid, geteuid());

    /* A file, a pipe end and the socket itself travel. */
    int file = (int)OKAY(open("file", O_RDWR | O_CREAT, 0600)), ends[2];
    write_all(file, "passed", 6);
    OKAY(pipe(ends));
    pid_t child = CHILD({
        OKAY(close(file));
        OKAY(close(ends[1]));
        int got = receive_fd(pair[1], 'f');
        EQUAL(lseek(got, 0, SEEK_CUR), 6);
        EQUAL(OKAY(pread(got, text, sizeof text, 0)), 6);
        write_all(got, " on", 3);
        int out = receive_fd(pair[1], 'p');
        write_all(out, "hello", 5);
        send_fd(pair[1], got, 'b');
    });
    send_fd(pair[0], file, 'f');
    send_fd(pair[0], ends[1], 'p');
    EQUAL(OKAY(read(ends[0], text, sizeof text)), 5);
    int back = receive_fd(pair[0], 'b');
    struct stat one, two;
    OKAY(fstat(file, &one));
    OKAY(fstat(back, &two));
    EQUAL(one.st_ino, two.st_ino);
    EQUAL(one.st_size, 9);
    EXITS(child, 0);
    /* Not received descriptors are closed with the message. */
    OKAY(close(ends[1]));
    OKAY(pipe(ends));
    send_fd(pair[0], ends[1], 'x');
    OKAY(close(ends[1]));
    EQUAL(OKAY(read(pair[1], text, 1)), 1);
    EQUAL(OKAY(read(ends[0], text, 1)), 0);

    /* Credentials in a message. */
    OKAY(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
    child = CHILD(write_all(pair[0], "c", 1));
    char control[256];
    struct iovec part = {text, sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    EQUAL(OKAY(recvmsg(pair[1], &message, 0)), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    CHECK(header != NULL && header->cmsg_type == SCM_CREDENTIALS);
    memcpy(&peer, CMSG_DATA(header), sizeof peer);
    EQUAL(peer.pid, child);
    EXITS(child, 0);

    /* A name in the file system. */
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"}, from;
    int server = (int)OKAY(socket(AF_UNIX, SOCK_STREAM, 0));
    OKAY(bind(server, (void *)&name, sizeof name));
    FAILS(bind((int)OKAY(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&name, sizeof name), EADDRINUSE);
    FAILS(connect((int)OKAY(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&name, sizeof name), ECONNREFUSED);
    OKAY(listen(server, 5));
    OKAY(stat("socket", &one));
    CHECK(S_ISSOCK(one.st_mode));
    child = CHILD({
        int mine = (int)OKAY(socket(AF_UNIX, SOCK_STREAM, 0));
        OKAY(connect(mine, (void *)&name, sizeof name));
        write_all(mine, "connected", 9);
        EQUAL(OKAY(read(mine, text, 1)), 0);
    });
    length = sizeof from;
    int connection = (int)OKAY(accept4(server, (void *)&from, &length, SOCK_CLOEXEC));
    EQUAL(length, sizeof(sa_family_t));
    length = sizeof peer;
    OKAY(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    EQUAL(peer.pid, child);
    EQUAL(read_all(connection, text, 9), 9);
    length = sizeof from;
    OKAY(getsockname(connection, (void *)&from, &length));
    SAME_TEXT(from.sun_path, "socket");
    OKAY(close(connection));
    EXITS(child, 0);
    OKAY(unlink("socket"));
    FAILS(connect((int)OKAY(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&name, sizeof name), ENOENT);

    /* Datagrams keep their boundaries and senders. */
    int a = (int)OKAY(socket(AF_UNIX, SOCK_DGRAM, 0)), b = (int)OKAY(socket(AF_UNIX, SOCK_DGRAM, 0));
    strcpy(name.sun_path, "a");
    OKAY(bind(a, (void *)&name, sizeof name));
    struct sockaddr_un automatic = {.sun_family = AF_UNIX};
    OKAY(bind(b, (void *)&automatic, sizeof(sa_family_t)));
    EQUAL(OKAY(sendto(b, "one", 3, 0, (void *)&name, sizeof name)), 3);
    EQUAL(OKAY(sendto(b, "", 0, 0, (void *)&name, sizeof name)), 0);
    EQUAL(OKAY(sendto(b, "three", 5, 0, (void *)&name, sizeof name)), 5);
    length = sizeof from;
    EQUAL(OKAY(recvfrom(a, text, sizeof text, 0, (void *)&from, &length)), 3);
    EQUAL(from.sun_path[0], 0);
    EQUAL(length, sizeof(sa_family_t) + 6);
    EQUAL(OKAY(recv(a, text, sizeof text, 0)), 0);
    EQUAL(OKAY(recv(a, text, 2, MSG_TRUNC)), 5);
    EQUAL(OKAY(sendto(a, "back", 4, 0, (void *)&from, length)), 4);
    EQUAL(OKAY(read(b, text, sizeof text)), 4);

    int packets[2];
    OKAY(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
    write_all(packets[0], "first", 5);
    write_all(packets[0], "second", 6);
    EQUAL(OKAY(read(packets[1], text, 2)), 2);
    EQUAL(OKAY(read(packets[1], text, sizeof text)), 6);
    OKAY(shutdown(packets[0], SHUT_WR));
    EQUAL(OKAY(read(packets[1], text, sizeof text)), 0);
    return ok("socket_unix");
}
