/* TCP on loopback: connect, accept, options, half-close, large transfers, sendfile, refusal, reset. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>

#define SIZE (4 << 20)

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, other, third;
    socklen_t length = sizeof address;
    char text[64], *data = malloc(SIZE), *back = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 11 >> 3);
    signal(SIGPIPE, SIG_IGN);

    int server = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
    int value = 1;
    OKAY(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value));
    OKAY(bind(server, (void *)&address, sizeof address));
    FAILS(accept(server, NULL, NULL), EINVAL);
    OKAY(listen(server, 16));
    OKAY(getsockname(server, (void *)&address, &length));
    EQUAL(length, sizeof address);
    CHECK(address.sin_port != 0);
    length = sizeof value;
    OKAY(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    EQUAL(value, 1);
    OKAY(getsockopt(server, SOL_SOCKET, SO_TYPE, &value, &length));
    EQUAL(value, SOCK_STREAM);
    OKAY(fcntl(server, F_SETFL, O_NONBLOCK));
    FAILS(accept(server, NULL, NULL), EAGAIN);
    OKAY(fcntl(server, F_SETFL, 0));
    FAILS(bind((int)OKAY(socket(AF_INET, SOCK_STREAM, 0)), (void *)&address, sizeof address), EADDRINUSE);

    pid_t child = CHILD({
        int mine = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
        FAILS(send(mine, "x", 1, 0), EPIPE);
        FAILS(getpeername(mine, (void *)&other, &length), ENOTCONN);
        OKAY(connect(mine, (void *)&address, sizeof address));
        FAILS(connect(mine, (void *)&address, sizeof address), EISCONN);
        OKAY(setsockopt(mine, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
        write_all(mine, "hello", 5);
        /* Echo everything until the other side has said all it has to say. */
        char *buffer = malloc(65536);
        for (long n; (n = OKAY(read(mine, buffer, 65536))) > 0;)
            write_all(mine, buffer, (size_t)n);
        OKAY(close(mine));
    });
    length = sizeof other;
    int fd = (int)OKAY(accept(server, (void *)&other, &length));
    EQUAL(other.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    length = sizeof third;
    OKAY(getpeername(fd, (void *)&third, &length));
    EQUAL(third.sin_port, other.sin_port);
    EQUAL(OKAY(recv(fd, text, 5, MSG_WAITALL)), 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    pid_t reader = CHILD({
        EQUAL(read_all(fd, back, SIZE), SIZE);
        CHECK(memcmp(data, back, SIZE) == 0);
        EQUAL(OKAY(read(fd, back, 1)), 0);
    });
    /* Half as it is, half by sendfile. */
    EQUAL(OKAY(send(fd, data, SIZE / 2, 0)), SIZE / 2);
    int file = (int)OKAY(open("half", O_RDWR | O_CREAT, 0600));
    write_all(file, data + SIZE / 2, SIZE / 2);
    off_t at = 0;
    while (at < SIZE / 2)
        CHECK(OKAY(sendfile(fd, file, &at, (size_t)(SIZE / 2 - at))) > 0);
    OKAY(shutdown(fd, SHUT_WR));
    FAILS(send(fd, "x", 1, 0), EPIPE);
    EXITS(reader, 0);
    EXITS(child, 0);
    OKAY(close(fd));
    OKAY(unlink("half"));

    /* Without blocking: in progress, then writable, then no error. */
    int mine = (int)OKAY(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(mine, (void *)&address, sizeof address) == -1)
        EQUAL(errno, EINPROGRESS);
    struct pollfd ready = {.fd = mine, .events = POLLOUT};
    EQUAL(OKAY(poll(&ready, 1, -1)), 1);
    length = sizeof value;
    OKAY(getsockopt(mine, SOL_SOCKET, SO_ERROR, &value, &length));
    EQUAL(value, 0);
    FAILS(read(mine, text, 1), EAGAIN);
    fd = (int)OKAY(accept4(server, NULL, NULL, SOCK_NONBLOCK));
    FAILS(read(fd, text, 1), EAGAIN);
    write_all(mine, "waiting", 7);
    ready = (struct pollfd){.fd = fd, .events = POLLIN};
    EQUAL(OKAY(poll(&ready, 1, -1)), 1);
    OKAY(ioctl(fd, FIONREAD, &value));
    EQUAL(value, 7);
    EQUAL(OKAY(recv(fd, text, sizeof text, MSG_PEEK)), 7);
    struct tcp_info info;
    length = sizeof info;
    OKAY(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    EQUAL(info.tcpi_state, TCP_ESTABLISHED);
    /* A close with linger 0 resets. */
    OKAY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
    OKAY(close(fd));
    ready = (struct pollfd){.fd = mine, .events = POLLIN};
    EQUAL(OKAY(poll(&ready, 1, -1)), 1);
    FAILS(read(mine, text, 1), ECONNRESET);
    OKAY(close(mine));

    OKAY(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 20000}, sizeof(struct timeval)));
    FAILS(accept(server, NULL, NULL), EAGAIN);
    OKAY(close(server));
    mine = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
    FAILS(connect(mine, (void *)&address, sizeof address), ECONNREFUSED);
    FAILS(setsockopt(mine, SOL_SOCKET, 9999, &value, sizeof value), ENOPROTOOPT);
    return ok("socket_tcp");
}
