/* Large writev, sendmsg and sendmmsg come back whole, and every byte arrives once and in order, at any pace;
 * a descriptor that goes with a message goes once. */
#include "guest.h"
#include <sys/socket.h>

#define SIZE (1 << 20)
#define PARTS 37
#define MESSAGES 200

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 11 + (i >> 9)); }

/* Uneven pieces, some of them empty, that together hold the data. */
static void cut(unsigned char *data, struct iovec *parts)
{
    size_t at = 0;
    for (int i = 0; i < PARTS; i++) {
        size_t length = i % 5 == 3 ? 0 : (size_t)(i * 1237 + 1);
        if (i == PARTS - 1)
            length = SIZE - at;
        parts[i] = (struct iovec){data + at, length};
        at += length;
    }
}

static void expect(const unsigned char *got, size_t at, long n)
{
    for (long i = 0; i < n; i++)
        if (got[i] != byte_at(at + (size_t)i))
            EQUAL(got[i], byte_at(at + (size_t)i));
}

static void read_pieces(int fd)
{
    static unsigned char buffer[5000];
    size_t at = 0;
    long n;
    while ((n = OKAY(read(fd, buffer, sizeof buffer))) > 0) {
        expect(buffer, at, n);
        at += (size_t)n;
        pause_ms(1);
    }
    EQUAL(at, SIZE);
}

static void receive_all(int fd)
{
    static unsigned char buffer[5000];
    size_t at = 0;
    int descriptors = 0;
    for (;;) {
        char control[256];
        struct iovec part = {buffer, sizeof buffer};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                                 .msg_control = control, .msg_controllen = sizeof control};
        long n = OKAY(recvmsg(fd, &message, 0));
        if (n == 0)
            break;
        if (CMSG_FIRSTHDR(&message))
            descriptors++;
        expect(buffer, at, n);
        at += (size_t)n;
        pause_ms(1);
    }
    EQUAL(at, SIZE);
    EQUAL(descriptors, 1);
}

/* Each message is one of those that were sent, in their order. */
static void receive_messages(int fd)
{
    static unsigned char buffer[20000];
    for (int i = 0; i < MESSAGES; i++) {
        EQUAL(OKAY(recv(fd, buffer, sizeof buffer, 0)), 9000 + i);
        expect(buffer, (size_t)i * 4001, 9000 + i);
        pause_ms(3);
    }
    EQUAL(OKAY(recv(fd, buffer, sizeof buffer, 0)), 0);
}

static void send_messages(unsigned char *data)
{
    int ends[2];
    OKAY(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    pid_t child = CHILD({
        OKAY(close(ends[1]));
        receive_messages(ends[0]);
    });
    OKAY(close(ends[0]));
    int room = 20000;
    OKAY(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
    static struct mmsghdr messages[MESSAGES];
    static struct iovec parts[MESSAGES];
    for (int i = 0; i < MESSAGES; i++) {
        parts[i] = (struct iovec){data + i * 4001, (size_t)(9000 + i)};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    EQUAL(OKAY(sendmmsg(ends[1], messages, MESSAGES, 0)), MESSAGES);
    for (int i = 0; i < MESSAGES; i++)
        EQUAL(messages[i].msg_len, 9000 + i);
    OKAY(close(ends[1]));
    EXITS(child, 0);
}

int main(void)
{
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = byte_at(i);
    struct iovec parts[PARTS], before[PARTS];
    cut(data, parts);
    memcpy(before, parts, sizeof parts);

    int ends[2];
    OKAY(pipe(ends));
    pid_t child = CHILD({
        OKAY(close(ends[1]));
        read_pieces(ends[0]);
    });
    OKAY(close(ends[0]));
    EQUAL(OKAY(writev(ends[1], parts, PARTS)), SIZE);
    OKAY(close(ends[1]));
    EXITS(child, 0);

    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    child = CHILD({
        OKAY(close(ends[1]));
        receive_all(ends[0]);
    });
    OKAY(close(ends[0]));
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = PARTS,
                             .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    int sent = 1;
    memcpy(CMSG_DATA(head), &sent, sizeof sent);
    EQUAL(OKAY(sendmsg(ends[1], &message, 0)), SIZE);
    EQUAL(message.msg_controllen, sizeof control.bytes);
    OKAY(close(ends[1]));
    EXITS(child, 0);
    EQUAL(memcmp(parts, before, sizeof parts), 0);
    send_messages(data);
    return ok("write_vectors");
}
