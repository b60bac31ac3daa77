"""What both classifiers agree on: keys of fairness, header layouts, class numbers."""

from __future__ import annotations

from enum import Enum

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
ETH_P_8021Q, ETH_P_8021AD, ETH_P_PPP_SES = 0x8100, 0x88A8, 0x8864
PPP_IP, PPP_IPV6 = 0x0021, 0x0057
IPPROTO_IPIP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_DCCP = 4, 6, 17, 33
IPPROTO_IPV6, IPPROTO_SCTP, IPPROTO_UDPLITE = 41, 132, 136
PROTOCOLS_WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_DCCP, IPPROTO_SCTP, IPPROTO_UDPLITE)
IPV4_FRAGMENT_MASK = 0x3FFF
"""More-fragments flag and fragment offset; don't-fragment is left out."""
CATCH_ALL_MINOR = 0xF
FIRST_FLOW_MINOR = 0x10


class Isolation(Enum):
    """Whose packets share a queue."""

    FLOW = "flow"
    SOURCE_HOST = "source-host"
    DESTINATION_HOST = "destination-host"


class LinkHeader(Enum):
    """What a packet in the qdisc begins with."""

    ETHERNET = "ethernet"
    NONE = "none"
