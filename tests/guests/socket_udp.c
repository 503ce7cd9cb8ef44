/* UDP on loopback: sendto, recvfrom, connected, recvmsg with control data, sendmmsg, refusal. */
#include "guest.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

int main(void)
{
    struct sockaddr_in a_name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, b_name = a_name, from;
    socklen_t length = sizeof from;
    char text[64], more[64];
    int a = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0)), b = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0));
    OKAY(bind(a, (void *)&a_name, sizeof a_name));
    OKAY(getsockname(a, (void *)&a_name, &length));
    OKAY(bind(b, (void *)&b_name, sizeof b_name));
    OKAY(getsockname(b, (void *)&b_name, &length));

    EQUAL(OKAY(sendto(a, "one", 3, 0, (void *)&b_name, sizeof b_name)), 3);
    EQUAL(OKAY(sendto(a, "", 0, 0, (void *)&b_name, sizeof b_name)), 0);
    EQUAL(OKAY(recvfrom(b, text, sizeof text, 0, (void *)&from, &length)), 3);
    EQUAL(from.sin_port, a_name.sin_port);
    EQUAL(OKAY(recvfrom(b, text, sizeof text, 0, NULL, NULL)), 0);
    FAILS(recv(b, text, 1, MSG_DONTWAIT), EAGAIN);
    FAILS(send(a, "x", 1, 0), EDESTADDRREQ);

    OKAY(connect(b, (void *)&a_name, sizeof a_name));
    OKAY(setsockopt(a, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)));
    OKAY(setsockopt(a, SOL_SOCKET, SO_TIMESTAMP, &(int){1}, sizeof(int)));
    EQUAL(OKAY(send(b, "with control", 12, 0)), 12);
    struct iovec parts[2] = {{text, 4}, {more, sizeof more}};
    char control[512];
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = parts, .msg_iovlen = 2,
                             .msg_control = control, .msg_controllen = sizeof control};
    EQUAL(OKAY(recvmsg(a, &message, 0)), 12);
    CHECK(memcmp(text, "with", 4) == 0 && memcmp(more, " control", 8) == 0);
    EQUAL(message.msg_namelen, sizeof from);
    EQUAL(from.sin_port, b_name.sin_port);
    bool info = false, stamp = false;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h != NULL; h = CMSG_NXTHDR(&message, h)) {
        info |= h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO;
        stamp |= h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMP;
    }
    CHECK(info && stamp);
    /* Too little room. */
    OKAY(send(b, "0123456789", 10, 0));
    parts[0].iov_len = 3;
    message = (struct msghdr){.msg_iov = parts, .msg_iovlen = 1};
    EQUAL(OKAY(recvmsg(a, &message, 0)), 3);
    CHECK(message.msg_flags & MSG_TRUNC);

    struct mmsghdr many[5] = {0};
    struct iovec one[5];
    for (int i = 0; i < 5; i++) {
        one[i] = (struct iovec){"abcde", (size_t)i + 1};
        many[i].msg_hdr = (struct msghdr){.msg_iov = &one[i], .msg_iovlen = 1};
    }
    EQUAL(OKAY(sendmmsg(b, many, 5, 0)), 5);
    EQUAL(many[4].msg_len, 5);
    char buffers[8][16];
    struct mmsghdr into[8] = {0};
    struct iovec room[8];
    for (int i = 0; i < 8; i++) {
        room[i] = (struct iovec){buffers[i], 16};
        into[i].msg_hdr = (struct msghdr){.msg_iov = &room[i], .msg_iovlen = 1};
    }
    EQUAL(OKAY(recvmmsg(a, into, 8, MSG_WAITFORONE, NULL)), 5);
    for (int i = 0; i < 5; i++)
        EQUAL(into[i].msg_len, i + 1);

    /* The largest, and one too large. */
    static char large[65508], back[65508];
    memset(large, 'L', sizeof large);
    OKAY(setsockopt(a, SOL_SOCKET, SO_RCVBUF, &(int){1 << 20}, sizeof(int)));
    EQUAL(OKAY(send(b, large, 65507, 0)), 65507);
    EQUAL(OKAY(recv(a, back, sizeof back, 0)), 65507);
    CHECK(memcmp(large, back, 65507) == 0);
    FAILS(send(b, large, 65508, 0), EMSGSIZE);
    OKAY(close(a));
    OKAY(send(b, "x", 1, 0));
    FAILS(recv(b, text, 1, 0), ECONNREFUSED);

    /* Interfaces, over netlink. */
    struct ifaddrs *list;
    bool loopback = false;
    OKAY(getifaddrs(&list));
    for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
        loopback |= i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET && strcmp(i->ifa_name, "lo") == 0;
    CHECK(loopback);
    return ok("socket_udp");
}
