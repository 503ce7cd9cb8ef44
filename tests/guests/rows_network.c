/* Sockets: interfaces asked by ioctl, options of every level with their values and lengths, and the errors
 * of the calls themselves. Only the loopback interface is known to be there. */
#include "shown.h"
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#ifndef SIOCGSTAMP
#define SIOCGSTAMP 0x8906
#endif
#ifndef SIOCGSTAMPNS
#define SIOCGSTAMPNS 0x8907
#endif
#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

#define LISTED(name) {#name, name}

static int datagram, stream, local;

static void interfaces(void)
{
    static const struct {
        const char *name;
        unsigned code;
    } asked[] = {
        LISTED(SIOCGIFFLAGS), LISTED(SIOCGIFADDR), LISTED(SIOCGIFDSTADDR), LISTED(SIOCGIFBRDADDR),
        LISTED(SIOCGIFNETMASK), LISTED(SIOCGIFMETRIC), LISTED(SIOCGIFMEM), LISTED(SIOCGIFMTU),
        LISTED(SIOCGIFENCAP), LISTED(SIOCGIFHWADDR), LISTED(SIOCGIFSLAVE), LISTED(SIOCGIFINDEX),
        LISTED(SIOCGIFPFLAGS), LISTED(SIOCGIFCOUNT), LISTED(SIOCGIFTXQLEN), LISTED(SIOCGIFMAP),
        LISTED(SIOCGMIIPHY), LISTED(SIOCGMIIREG), LISTED(SIOCGIFVLAN), LISTED(SIOCGARP),
    };
    for (size_t at = 0; at < sizeof asked / sizeof *asked; at++) {
        // Some take more than this structure.
        struct ifreq request[2] = {{.ifr_name = "lo"}}, none[2] = {{.ifr_name = "no such thing"}};
        printf("%s: ", asked[at].name);
        TRY(ioctl, datagram, asked[at].code, request);
        show_bytes("answer", request, sizeof *request);
        printf("%s: ", asked[at].name);
        TRY(ioctl, local, asked[at].code, request);
        printf("%s: ", asked[at].name);
        TRY(ioctl, datagram, asked[at].code, none);
    }
    struct ifreq first = {.ifr_ifindex = 1}, beyond = {.ifr_ifindex = 1 << 30};
    TRY(ioctl, datagram, SIOCGIFNAME, &first);
    SAME_TEXT(first.ifr_name, "lo");
    TRY(ioctl, datagram, SIOCGIFNAME, &beyond);
    // All that have an address, and how much room they need.
    char room[4096];
    struct ifconf all = {.ifc_len = 0, .ifc_buf = NULL}, some = {.ifc_len = sizeof room, .ifc_buf = room};
    TRY(ioctl, datagram, SIOCGIFCONF, &all);
    TRY(ioctl, datagram, SIOCGIFCONF, &some);
    EQUAL(all.ifc_len, some.ifc_len);
    struct ifconf one = {.ifc_len = sizeof(struct ifreq) + 5, .ifc_buf = room}, wild = {.ifc_len = 400, .ifc_buf = WILD};
    memset(room, 0, sizeof room);
    TRY(ioctl, datagram, SIOCGIFCONF, &one);
    SHOW(one.ifc_len);
    TRY(ioctl, datagram, SIOCGIFCONF, &wild);
    TRY(ioctl, datagram, SIOCGIFCONF, WILD);
    one.ifc_len = -1;
    TRY(ioctl, datagram, SIOCGIFCONF, &one);
}

static void changes(void)
{
    static const struct {
        const char *name;
        unsigned code;
    } set[] = {
        LISTED(SIOCSIFLINK), LISTED(SIOCSIFFLAGS), LISTED(SIOCSIFADDR), LISTED(SIOCSIFDSTADDR),
        LISTED(SIOCSIFBRDADDR), LISTED(SIOCSIFNETMASK), LISTED(SIOCSIFMETRIC), LISTED(SIOCSIFMEM),
        LISTED(SIOCSIFMTU), LISTED(SIOCSIFNAME), LISTED(SIOCSIFHWADDR), LISTED(SIOCSIFENCAP),
        LISTED(SIOCSIFSLAVE), LISTED(SIOCADDMULTI), LISTED(SIOCDELMULTI), LISTED(SIOCSIFPFLAGS),
        LISTED(SIOCDIFADDR), LISTED(SIOCSIFHWBROADCAST), LISTED(SIOCSIFTXQLEN), LISTED(SIOCSMIIREG),
        LISTED(SIOCSIFMAP), LISTED(SIOCSIFVLAN), LISTED(SIOCBONDENSLAVE), LISTED(SIOCBONDRELEASE),
        LISTED(SIOCBRADDIF), LISTED(SIOCBRDELIF), LISTED(SIOCDARP), LISTED(SIOCSARP),
    };
    for (size_t at = 0; at < sizeof set / sizeof *set; at++) {
        struct ifreq request[2] = {{.ifr_name = "no such thing"}};
        printf("%s: ", set[at].name);
        TRY(ioctl, datagram, set[at].code, request);
    }
    TRY(ioctl, datagram, SIOCBRDELBR, "no such thing");
    TRY(ioctl, datagram, SIOCBRADDBR, "a/name that cannot be");
}

static void of_sockets(void)
{
    int number = 77;
    struct timespec stamp[2];
    OKAY(write(stream, "data", 4));
    TRY(ioctl, local, FIONREAD, &number);
    TRY(ioctl, stream, SIOCOUTQ, &number);
    TRY(ioctl, stream, SIOCINQ, &number);
    TRY(ioctl, stream, SIOCOUTQNSD, &number);
    TRY(ioctl, stream, SIOCATMARK, &number);
    TRY(ioctl, datagram, SIOCGSTAMP, stamp);
    TRY(ioctl, datagram, SIOCGSTAMPNS, stamp);
    TRY(ioctl, stream, FIOSETOWN, (&(int){getpid()}));
    EQUAL(RAW(ioctl, stream, FIOGETOWN, &number), 0);
    SHOW(number == getpid());
    TRY(ioctl, stream, SIOCSPGRP, (&(int){0}));
    TRY(ioctl, stream, SIOCGPGRP, &number);
    SHOW(number);
    TRY(ioctl, stream, SIOCSPGRP, (&(int){0x7ffffffe}));
    TRY(ioctl, stream, FIOASYNC, (&(int){1}));
    TRY(fcntl, stream, F_GETFL);
    TRY(ioctl, stream, FIONBIO, (&(int){1}));
    TRY(fcntl, stream, F_GETFL);
    TRY(ioctl, stream, FIONBIO, (&(int){0}));
    struct f_owner_ex owner = {F_OWNER_TID, 0};
    unsigned users[2] = {77, 77};
    owner.pid = gettid();
    TRY(fcntl, stream, F_SETOWN_EX, &owner);
    owner.pid = 0;
    TRY(fcntl, stream, F_GETOWN_EX, &owner);
    SHOW(owner.type);
    SHOW(owner.pid == gettid());
    TRY(fcntl, stream, F_GETOWNER_UIDS, users);
    SHOW(users[0] == getuid());
    owner.type = 77;
    TRY(fcntl, stream, F_SETOWN_EX, &owner);
    TRY(fcntl, stream, F_SETOWN_EX, WILD);
    TRY(fcntl, stream, F_GETOWN_EX, WILD);
    int machine = (int)SEE(socket(AF_VSOCK, SOCK_STREAM, 0));
    if (machine != -1) {
        TRY(ioctl, machine, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &number);
        OKAY(close(machine));
    }
}

/* Every option of a level is asked, and given what was answered. */
static void options(const char *of, int fd, int level, int last)
{
    for (int name = 0; name <= last; name++) {
        // Those that bring the process home are in another program.
        if ((level == SOL_SOCKET && name == SO_ATTACH_FILTER) || (level == IPPROTO_TCP && name == 35)
            || (level == IPPROTO_IPV6 && name == 64))
            continue;
        // What is to be found in the kernel only by a user who may, or differs: times, cookies, memory.
        if (level == SOL_SOCKET && (name == SO_PEERCRED || name == 57 /* SO_COOKIE */ || name == 55 || name == 77))
            continue;
        if (level == IPPROTO_TCP && (name == TCP_INFO || name == 26 /* TCP_CC_INFO */ || name == TCP_TIMESTAMP))
            continue;
        unsigned char value[256] = {0};
        socklen_t length = sizeof value;
        errno = 0;
        long result = syscall(SYS_getsockopt, fd, level, name, value, &length);
        if (result == -1 && errno == ENOPROTOOPT) {
            memset(value, 0, sizeof value);
            result = syscall(SYS_setsockopt, fd, level, name, value, 4);
            if (result == -1 && errno == ENOPROTOOPT)
                continue;
        }
        printf("%s %d.%d: %s %u", of, level, name, result == -1 ? strerrorname_np(errno) : "0", length);
        show_bytes("", value, length < sizeof value ? length : sizeof value);
        for (socklen_t shorter = 0; shorter <= 5; shorter++) {
            socklen_t asked = shorter;
            memset(value, 0, sizeof value);
            errno = 0;
            result = syscall(SYS_getsockopt, fd, level, name, value, &asked);
            printf("  %s %u", result == -1 ? strerrorname_np(errno) : "0", asked);
        }
        length = sizeof value;
        printf(" |");
        errno = 0;
        result = syscall(SYS_getsockopt, fd, level, name, WILD, &length);
        printf(" %s", result == -1 ? strerrorname_np(errno) : "0");
        errno = 0;
        result = syscall(SYS_setsockopt, fd, level, name, WILD, 4);
        printf(" %s", result == -1 ? strerrorname_np(errno) : "0");
        printf(" |");
        for (int number = -1; number <= 2; number++) {
            memset(value, 0, sizeof value);
            memcpy(value, &number, 4);
            // Devices, marks and their like are the system's.
            errno = 0;
            result = syscall(SYS_setsockopt, fd, level, name, value, 4);
            printf(" %s", result == -1 ? strerrorname_np(errno) : "0");
        }
        errno = 0;
        result = syscall(SYS_setsockopt, fd, level, name, value, 2);
        printf(" %s", result == -1 ? strerrorname_np(errno) : "0");
        errno = 0;
        result = syscall(SYS_setsockopt, fd, level, name, value, -1);
        printf(" %s\n", result == -1 ? strerrorname_np(errno) : "0");
    }
}

static void all_options(void)
{
    static const struct {
        const char *of;
        int family, type;
    } kinds[] = {{"udp", AF_INET, SOCK_DGRAM}, {"tcp", AF_INET, SOCK_STREAM}, {"udp6", AF_INET6, SOCK_DGRAM},
                 {"unix", AF_UNIX, SOCK_STREAM}};
    for (size_t at = 0; at < sizeof kinds / sizeof *kinds; at++) {
        static const int levels[][2] = {{SOL_SOCKET, 85}, {IPPROTO_IP, 52}, {IPPROTO_TCP, 47}, {IPPROTO_IPV6, 80}};
        for (size_t level = 0; level < 4; level++) {
            int fd = socket(kinds[at].family, kinds[at].type, 0);
            if (fd == -1)
                continue;
            options(kinds[at].of, fd, levels[level][0], levels[level][1]);
            OKAY(close(fd));
        }
    }
}

static void filters(void)
{
    struct sock_filter accept_ = {BPF_RET | BPF_K, 0, 0, 0xffff}, wrong = {0xffff, 0, 0, 0};
    struct sock_fprog program = {1, &accept_}, bad = {1, &wrong}, wild = {1, WILD}, empty = {0, &accept_};
    struct sock_fprog large = {5000, &accept_};
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &bad, sizeof bad);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &wild, sizeof wild);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &empty, sizeof empty);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &large, sizeof large);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, &program, 8);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_FILTER, WILD, sizeof program);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_DETACH_FILTER, &program, 4);
    TRY(setsockopt, datagram, SOL_SOCKET, SO_DETACH_FILTER, &program, 4);
}

/* Asked with a value. */
static void asked_with_values(void)
{
    static const struct {
        const char *name;
        int level, option;
    } all[] = {
        {"IP_MSFILTER", IPPROTO_IP, 41},        {"MCAST_MSFILTER", IPPROTO_IP, 48},
        {"IPT_SO_GET_INFO", IPPROTO_IP, 64},    {"IPT_SO_GET_ENTRIES", IPPROTO_IP, 65},
        {"IPT_SO_GET_REVISION_MATCH", IPPROTO_IP, 66}, {"IPT_SO_GET_REVISION_TARGET", IPPROTO_IP, 67},
        {"MCAST_MSFILTER", IPPROTO_IPV6, 48},   {"IP6T_SO_GET_INFO", IPPROTO_IPV6, 64},
        {"IP6T_SO_GET_ENTRIES", IPPROTO_IPV6, 65}, {"IP6T_SO_GET_REVISION_MATCH", IPPROTO_IPV6, 68},
        {"IP6T_SO_GET_REVISION_TARGET", IPPROTO_IPV6, 69}, {"TCP_AO_GET_KEYS", IPPROTO_TCP, 40},
        {"IP_PKTOPTIONS", IPPROTO_IP, 9}, {"IPV6_2292PKTOPTIONS", IPPROTO_IPV6, 6},
        {"IPV6_FLOWLABEL_MGR", IPPROTO_IPV6, 32}, {"PACKET_HDRLEN", 263, 11}, {"MPTCP_TCPINFO", 284, 2},
        {"MPTCP_SUBFLOW_ADDRS", 284, 3},
        {"SCTP_RTOINFO", 132, 0}, {"SCTP_ASSOCINFO", 132, 1}, {"SCTP_PEER_ADDR_PARAMS", 132, 9},
        {"SCTP_DEFAULT_SEND_PARAM", 132, 10}, {"SCTP_STATUS", 132, 14}, {"SCTP_GET_PEER_ADDR_INFO", 132, 15},
        {"SCTP_SOCKOPT_PEELOFF", 132, 102}, {"SCTP_GET_PEER_ADDRS", 132, 108}, {"SCTP_GET_LOCAL_ADDRS", 132, 109},
    };
    int multipath = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */), packets = socket(AF_PACKET, SOCK_RAW, 0);
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        int fds[] = {datagram, all[at].level == IPPROTO_TCP ? stream : raw, raw6, multipath, packets};
        for (size_t which = 0; which < 5; which++) {
            if (fds[which] == -1)
                continue;
            char value[512] = "filter";
            socklen_t length = 84;
            printf("%s: ", all[at].name);
            TRY(getsockopt, fds[which], all[at].level, all[at].option, value, &length);
            SHOW(length);
            length = 8;
            printf("%s: ", all[at].name);
            TRY(getsockopt, fds[which], all[at].level, all[at].option, value, &length);
            printf("%s: ", all[at].name);
            TRY(getsockopt, fds[which], all[at].level, all[at].option, WILD, &length);
        }
    }
    close(multipath);
    close(packets);
    close(raw);
    close(raw6);
}

static void errors(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    socklen_t length = sizeof address;
    int pair[2];
    TRY(socket, 77, SOCK_STREAM, 0);
    TRY(socket, AF_INET, 77, 0);
    TRY(socket, AF_INET, SOCK_STREAM, 77);
    TRY(socketpair, AF_INET, SOCK_STREAM, 0, pair);
    TRY(socketpair, AF_UNIX, SOCK_STREAM, 0, WILD);
    TRY(bind, datagram, WILD, sizeof address);
    TRY(bind, datagram, &address, 4);
    TRY(bind, datagram, &address, 5000);
    TRY(bind, datagram, &address, -1);
    TRY(bind, datagram, &name, sizeof name);
    TRY(bind, datagram, &address, sizeof address);
    TRY(bind, datagram, &address, sizeof address);
    TRY(listen, datagram, 5);
    TRY(listen, 0, 5);
    TRY(accept, datagram, NULL, NULL);
    TRY(accept4, datagram, NULL, NULL, 77);
    TRY(connect, datagram, &address, 4);
    TRY(connect, datagram, WILD, sizeof address);
    int fresh = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
    TRY(getpeername, fresh, &address, &length);
    TRY(accept, fresh, NULL, NULL);
    TRY(shutdown, fresh, SHUT_RD);
    TRY(shutdown, local, 77);
    TRY(getsockname, fresh, &address, WILD);
    TRY(getsockname, fresh, WILD, &length);
    length = 5;
    TRY(getsockname, local, WILD, &length);
    SHOW(length);
    length = 5;
    TRY(getpeername, local, KERNEL, &length);
    SHOW(length);
    length = -1;
    TRY(getsockname, fresh, &address, &length);
    length = 4;
    TRY(getsockname, fresh, &address, &length);
    SHOW(length);
    address.sin_port = htons(1);
    address.sin_family = AF_INET;
    TRY(connect, fresh, &address, sizeof address);
    TRY(sendto, fresh, "a", 1, MSG_NOSIGNAL, NULL, 0);
    TRY(sendto, datagram, "a", 1, 0, &address, 4);
    TRY(sendto, datagram, "a", 1, 0, NULL, 0);
    TRY(sendto, datagram, "a", 1, MSG_OOB, &address, sizeof address);
    TRY(recvfrom, datagram, &name, 10, MSG_DONTWAIT, NULL, NULL);
    TRY(recvfrom, datagram, &name, 10, MSG_DONTWAIT | MSG_OOB, NULL, NULL);
    TRY(recvfrom, stream, &name, 10, MSG_DONTWAIT, NULL, NULL);
    struct msghdr message = {.msg_iovlen = 2000};
    TRY(sendmsg, datagram, &message, 0);
    TRY(recvmsg, datagram, &message, MSG_DONTWAIT);
    TRY(sendmsg, datagram, WILD, 0);
    TRY(recvmsg, datagram, WILD, MSG_DONTWAIT);
    message = (struct msghdr){.msg_control = WILD, .msg_controllen = 24};
    TRY(sendmsg, local, &message, 0);
    message.msg_controllen = 1 << 30;
    TRY(sendmsg, local, &message, 0);
    TRY(sendmmsg, local, WILD, 1, 0);
    TRY(recvmmsg, datagram, WILD, 1, MSG_DONTWAIT, NULL);
    TRY(recvmmsg, datagram, WILD, 1, MSG_DONTWAIT, (&(struct timespec){0, -1}));
    TRY(getsockopt, 0, SOL_SOCKET, SO_TYPE, &pair, &length);
    TRY(setsockopt, 0, SOL_SOCKET, SO_TYPE, &pair, 4);
    TRY(getsockopt, fresh, SOL_SOCKET, SO_TYPE, &pair, WILD);
    length = -1;
    TRY(getsockopt, fresh, SOL_SOCKET, SO_TYPE, &pair, &length);
    OKAY(close(fresh));
}

int main(void)
{
    int pair[2];
    datagram = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0));
    OKAY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    stream = pair[0];
    local = pair[1];
    interfaces();
    changes();
    of_sockets();
    all_options();
    filters();
    asked_with_values();
    errors();
    return ok("rows_network");
}
