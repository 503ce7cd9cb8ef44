/* Options of sockets that bring a process home: their value is shared with the kernel, points further, or has
 * no length in bytes; each in a program of its own. */
#include "shown.h"
#include <linux/filter.h>
#include <netinet/in.h>

#define PAGE 4096

static void replaced_tables(void)
{
    char value[128] = {0};
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    SHOW(fd == -1 ? errno : 0);
    printf("IPT_SO_SET_REPLACE: ");
    TRY(setsockopt, fd, IPPROTO_IP, 64, value, 4);
    TRY(setsockopt, fd, IPPROTO_IP, 64, WILD, 96);
}

static void replaced_tables_6(void)
{
    char value[128] = {0};
    int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
    SHOW(fd == -1 ? errno : 0);
    printf("IP6T_SO_SET_REPLACE: ");
    TRY(setsockopt, fd, IPPROTO_IPV6, 64, value, 4);
}

static void own_filter(void)
{
    struct sock_filter accept_ = {BPF_RET | BPF_K, 0, 0, 0xffff}, got[4] = {0};
    struct sock_fprog program = {1, &accept_};
    int fd = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0));
    TRY(setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    socklen_t instructions = 0;
    // SO_GET_FILTER has the same number.
    TRY(getsockopt, fd, SOL_SOCKET, SO_GET_FILTER, NULL, &instructions);
    instructions = 4;
    TRY(getsockopt, fd, SOL_SOCKET, SO_GET_FILTER, got, &instructions);
    SHOW(instructions);
    show_bytes("filter", got, sizeof got);
}

static void received_in_place(void)
{
    char value[64] = {0};
    socklen_t length = sizeof value;
    int fd = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0));
    printf("TCP_ZEROCOPY_RECEIVE: ");
    TRY(getsockopt, fd, IPPROTO_TCP, 35, value, &length);
}

static void mapped_sockets(void)
{
    int tcp = (int)OKAY(socket(AF_INET, SOCK_STREAM, 0)), udp = (int)OKAY(socket(AF_INET, SOCK_DGRAM, 0));
    SHOW(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, tcp, 0) == MAP_FAILED ? errno : 0);
    SHOW(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, tcp, 0) == MAP_FAILED ? errno : 0);
    SHOW(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, udp, 0) == MAP_FAILED ? errno : 0);
}

static void packet_rings(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    SHOW(fd == -1 ? errno : 0);
    if (fd == -1)
        return;
    struct {
        unsigned block_size, blocks, frame_size, frames;
    } ring = {PAGE, 2, 2048, 4};
    printf("PACKET_RX_RING: ");
    TRY(setsockopt, fd, 263, 5, &ring, sizeof ring);
    char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    SHOW(at[0]);
    printf("PACKET_TX_RING: ");
    TRY(setsockopt, fd, 263, 13, &ring, 4);
    printf("PACKET_FANOUT_DATA: ");
    TRY(setsockopt, fd, 263, 22, &ring, sizeof ring);
}

static void xdp_rings(void)
{
    static const struct {
        const char *name;
        int option;
    } all[] = {{"XDP_RX_RING", 2}, {"XDP_TX_RING", 3}, {"XDP_UMEM_REG", 4}, {"XDP_UMEM_FILL_RING", 5},
               {"XDP_UMEM_COMPLETION_RING", 6}};
    int fd = socket(44 /* AF_XDP */, SOCK_RAW, 0);
    SHOW(fd == -1 ? errno : 0);
    unsigned value[8] = {4};
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        printf("%s: ", all[at].name);
        TRY(setsockopt, fd, 283, all[at].option, value, 4);
        TRY(setsockopt, fd, 283, all[at].option, WILD, 32);
    }
}

static void all_of_subflows(void)
{
    char value[64] = {0};
    socklen_t length = sizeof value;
    int fd = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
    SHOW(fd == -1 ? errno : 0);
    printf("MPTCP_FULL_INFO: ");
    TRY(getsockopt, fd, 284, 4, value, &length);
}

static void connected_at_once(void)
{
    char value[64] = {0};
    socklen_t length = sizeof value;
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
    SHOW(fd == -1 ? errno : 0);
    printf("SCTP_SOCKOPT_CONNECTX3: ");
    TRY(getsockopt, fd, 132, 111, value, &length);
}

int main(int argc, char **argv)
{
    static const struct alone all[] = {
        {"replaced_tables", replaced_tables},
        {"replaced_tables_6", replaced_tables_6},
        {"own_filter", own_filter},
        {"received_in_place", received_in_place},
        {"mapped_sockets", mapped_sockets},
        {"packet_rings", packet_rings},
        {"xdp_rings", xdp_rings},
        {"all_of_subflows", all_of_subflows},
        {"connected_at_once", connected_at_once},
        {NULL, NULL},
    };
    each_alone(argc, argv, all);
    return ok("rows_network_home");
}
