//! Socket options, by level and name. An option that is not listed is a flat
//! value of the length given, which is true of nearly all.

use super::{Command, nr};
use crate::row::{Arg, Nested, Route, Size};

const SOL_IP: u64 = 0;
const SOL_SOCKET: u64 = 1;
const SOL_TCP: u64 = 6;
const SOL_IPV6: u64 = 41;
const SOL_SCTP: u64 = 132;
const SOL_PACKET: u64 = 263;
const SOL_XDP: u64 = 283;
const SOL_MPTCP: u64 = 284;

/// Options that are asked with a value, and answered with one.
const ASKED: Arg = Arg::InOut(Size::At(4));

const fn row(
    nr: u32,
    (level, name): (u64, u64),
    text: &'static str,
    arg: Arg,
    route: Route,
    gap: &'static str,
) -> Command {
    Command {
        nr,
        code: level << 32 | name,
        name: text,
        arg,
        then: &[Arg::Int32],
        route,
        gap,
    }
}

const fn set(option: (u64, u64), text: &'static str, arg: Arg) -> Command {
    row(nr::SETSOCKOPT, option, text, arg, Route::Home, "")
}

const fn set_home(option: (u64, u64), text: &'static str, gap: &'static str) -> Command {
    row(nr::SETSOCKOPT, option, text, Arg::Addr, Route::GoHome, gap)
}

const fn ask(option: (u64, u64), text: &'static str) -> Command {
    let length = &[Arg::InOut(Size::Bytes(4))];
    let command = row(nr::GETSOCKOPT, option, text, ASKED, Route::Home, "");
    Command {
        then: length,
        ..command
    }
}

const fn get_home(option: (u64, u64), text: &'static str, gap: &'static str) -> Command {
    row(nr::GETSOCKOPT, option, text, Arg::Addr, Route::GoHome, gap)
}

const RING: &str = "brings the process home: the ring is memory shared with the home kernel";
const INSIDE: &str = "brings the process home: the value points at further memory";
const COUNT: &str = "brings the process home: the length counts instructions, not bytes";

pub(super) const SET: &[Command] = &[
    set_home((SOL_IP, 64), "IPT_SO_SET_REPLACE", INSIDE),
    set(
        (SOL_SOCKET, 26),
        "SO_ATTACH_FILTER",
        Arg::NestedIn(Nested::PROGRAM),
    ),
    set(
        (SOL_SOCKET, 51),
        "SO_ATTACH_REUSEPORT_CBPF",
        Arg::NestedIn(Nested::PROGRAM),
    ),
    set_home((SOL_IPV6, 64), "IP6T_SO_SET_REPLACE", INSIDE),
    set_home((SOL_PACKET, 5), "PACKET_RX_RING", RING),
    set_home((SOL_PACKET, 13), "PACKET_TX_RING", RING),
    set_home((SOL_PACKET, 22), "PACKET_FANOUT_DATA", INSIDE),
    set_home((SOL_XDP, 2), "XDP_RX_RING", RING),
    set_home((SOL_XDP, 3), "XDP_TX_RING", RING),
    set_home((SOL_XDP, 4), "XDP_UMEM_REG", RING),
    set_home((SOL_XDP, 5), "XDP_UMEM_FILL_RING", RING),
    set_home((SOL_XDP, 6), "XDP_UMEM_COMPLETION_RING", RING),
];

pub(super) const GET: &[Command] = &[
    ask((SOL_IP, 9), "IP_PKTOPTIONS"),
    ask((SOL_IP, 41), "IP_MSFILTER"),
    ask((SOL_IP, 48), "MCAST_MSFILTER"),
    ask((SOL_IP, 64), "IPT_SO_GET_INFO"),
    ask((SOL_IP, 65), "IPT_SO_GET_ENTRIES"),
    ask((SOL_IP, 66), "IPT_SO_GET_REVISION_MATCH"),
    ask((SOL_IP, 67), "IPT_SO_GET_REVISION_TARGET"),
    get_home((SOL_SOCKET, 26), "SO_GET_FILTER", COUNT),
    get_home((SOL_TCP, 35), "TCP_ZEROCOPY_RECEIVE", RING),
    ask((SOL_TCP, 40), "TCP_AO_GET_KEYS"),
    ask((SOL_IPV6, 6), "IPV6_2292PKTOPTIONS"),
    ask((SOL_IPV6, 32), "IPV6_FLOWLABEL_MGR"),
    ask((SOL_IPV6, 48), "MCAST_MSFILTER"),
    ask((SOL_IPV6, 64), "IP6T_SO_GET_INFO"),
    ask((SOL_IPV6, 65), "IP6T_SO_GET_ENTRIES"),
    ask((SOL_IPV6, 68), "IP6T_SO_GET_REVISION_MATCH"),
    ask((SOL_IPV6, 69), "IP6T_SO_GET_REVISION_TARGET"),
    ask((SOL_SCTP, 0), "SCTP_RTOINFO"),
    ask((SOL_SCTP, 1), "SCTP_ASSOCINFO"),
    ask((SOL_SCTP, 9), "SCTP_PEER_ADDR_PARAMS"),
    ask((SOL_SCTP, 10), "SCTP_DEFAULT_SEND_PARAM"),
    ask((SOL_SCTP, 14), "SCTP_STATUS"),
    ask((SOL_SCTP, 15), "SCTP_GET_PEER_ADDR_INFO"),
    ask((SOL_SCTP, 102), "SCTP_SOCKOPT_PEELOFF"),
    ask((SOL_SCTP, 108), "SCTP_GET_PEER_ADDRS"),
    ask((SOL_SCTP, 109), "SCTP_GET_LOCAL_ADDRS"),
    get_home((SOL_SCTP, 111), "SCTP_SOCKOPT_CONNECTX3", INSIDE),
    ask((SOL_PACKET, 11), "PACKET_HDRLEN"),
    ask((SOL_MPTCP, 2), "MPTCP_TCPINFO"),
    ask((SOL_MPTCP, 3), "MPTCP_SUBFLOW_ADDRS"),
    get_home((SOL_MPTCP, 4), "MPTCP_FULL_INFO", INSIDE),
];
