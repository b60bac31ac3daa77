"""An independent judge of what belongs to one flow, on scapy's packets; nothing of ours is in it."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

CATCH_ALL = "catch-all"
LINK_LAYERS = (Ether, Dot1Q, Dot1AD, PPPoE, PPP)
PORTS_FIRST = {6, 17, 33, 132, 136}
"""TCP, UDP, DCCP, SCTP and UDP-Lite: source and destination port are the first four bytes."""


def ether() -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def flow_of(packet: Packet, isolate: str = "flow", *, sees_tunnels: bool = False) -> Hashable:
    """Name the flow of a packet that was built here layer by layer; equal names share a queue."""
    layer, tags = packet, 0
    while isinstance(layer, LINK_LAYERS):
        tags += isinstance(layer, Dot1Q | Dot1AD)
        layer = layer.payload
    if tags > 2 or not isinstance(layer, IP | IPv6):
        return CATCH_ALL
    if isolate != "flow":
        return type(layer), layer.src if isolate == "source-host" else layer.dst
    if sees_tunnels and isinstance(layer.payload, IP | IPv6) and not is_fragment(layer):
        layer = layer.payload
    hosts = (type(layer), layer.src, layer.dst)
    if is_fragment(layer):
        return hosts
    built = type(layer)(bytes(layer))
    protocol = built.proto if isinstance(layer, IP) else built.nh
    if protocol in PORTS_FIRST:
        return *hosts, protocol, bytes(layer.payload)[:4]
    return hosts if isinstance(layer, IPv6) else (*hosts, protocol)


def is_fragment(layer: Packet) -> bool:
    return isinstance(layer, IP) and bool(layer.flags.MF or layer.frag)


# Few addresses and ports, so that equal, nearly equal and swapped keys are common.
_ports = st.sampled_from((1, 2, 53, 256, 513, 65535))
_v4 = st.sampled_from(("10.0.0.1", "10.0.0.2", "1.0.0.10", "0.0.0.0", "255.255.255.255"))
_v6 = st.sampled_from(("fd00::1", "fd00::2", "fd00:0:0:1::1", "::", "fd00::a00:1", "ff02::1"))

transports = st.one_of(
    st.builds(TCP, sport=_ports, dport=_ports, seq=st.integers(0, 2**32 - 1), flags=st.sampled_from("SAPF")),
    st.builds(UDP, sport=_ports, dport=_ports),
    st.builds(SCTP, sport=_ports, dport=_ports),
)
_payload = st.builds(lambda size: Raw(bytes(size)), st.integers(4, 60))


def _stack(*layers: Packet) -> Packet:
    packet = layers[0].copy()
    for layer in layers[1:]:
        packet = packet / layer.copy()
    return packet


def _v4_headers() -> st.SearchStrategy[Packet]:
    options = st.sampled_from(([], [b"\x94\x04\x00\x00"], [b"\x01\x01\x01\x00"] * 3))
    return st.builds(
        lambda src, dst, tos, ttl, df, extra: IP(
            src=src, dst=dst, tos=tos, ttl=ttl, flags="DF" if df else "", options=_raw_options(extra)
        ),
        _v4,
        _v4,
        st.integers(0, 255),
        st.integers(1, 255),
        st.booleans(),
        options,
    )


def _raw_options(parts: list[bytes]) -> list[Packet]:
    from scapy.layers.inet import IPOption

    return [IPOption(part) for part in parts]


def _v6_headers() -> st.SearchStrategy[Packet]:
    return st.builds(
        lambda src, dst, label, tc: IPv6(src=src, dst=dst, fl=label, tc=tc),
        _v6,
        _v6,
        st.integers(0, 2**20 - 1),
        st.integers(0, 255),
    )


_udp_lite_and_dccp = st.builds(
    lambda source, destination: Raw(source.to_bytes(2, "big") + destination.to_bytes(2, "big") + bytes(12)),
    _ports,
    _ports,
)


def _with_protocol(header: Packet, protocol: int, body: Packet) -> Packet:
    packet = _stack(header, body)
    if isinstance(header, IP):
        packet.proto = protocol
    else:
        packet.nh = protocol
    return packet


def _fragment(header: Packet, offset: int, more: bool, body: Packet) -> Packet:
    packet = _stack(header, body)
    packet.frag, packet.flags, packet.proto = offset, "MF" if more or not offset else "", 17
    return packet


plain_ip = st.one_of(
    st.builds(_stack, _v4_headers(), transports, _payload),
    st.builds(_stack, _v6_headers(), transports, _payload),
    st.builds(_with_protocol, _v4_headers(), st.sampled_from((33, 136)), _udp_lite_and_dccp),
    st.builds(_with_protocol, _v6_headers(), st.sampled_from((33, 136)), _udp_lite_and_dccp),
    st.builds(_stack, _v4_headers(), st.just(ICMP()), _payload),
    st.builds(_stack, _v6_headers(), st.just(ICMPv6EchoRequest()), _payload),
    st.builds(_fragment, _v4_headers(), st.integers(0, 100), st.booleans(), _payload),
    st.builds(_stack, _v6_headers(), st.just(IPv6ExtHdrDestOpt()), transports),
    st.builds(_stack, _v6_headers(), st.just(IPv6ExtHdrFragment(offset=3, m=1)), transports),
)
tunnels = st.one_of(
    st.builds(_stack, _v4_headers(), plain_ip),
    st.builds(_stack, _v6_headers(), plain_ip),
    st.builds(_stack, _v4_headers(), st.just(GRE()), plain_ip),
)
no_ip = st.sampled_from((ARP(pdst="10.0.0.1"), Raw(bytes(60)), Raw(b"\xff" * 60)))
link_headers = st.sampled_from(
    (
        (),
        (Dot1Q(vlan=5),),
        (Dot1AD(vlan=7), Dot1Q(vlan=9)),
        (Dot1Q(vlan=1), Dot1Q(vlan=2)),
        (Dot1Q(vlan=1), Dot1Q(vlan=2), Dot1Q(vlan=3)),
        (PPPoE(sessionid=77), PPP()),
        (Dot1Q(vlan=35), PPPoE(sessionid=78), PPP()),
    )
)
ip_packets = st.one_of(plain_ip, tunnels)


def _frame(links: tuple[Packet, ...], body: Packet) -> Packet:
    packet = _stack(ether(), *links, body)
    if PPP in packet and not isinstance(body, IP | IPv6):
        packet[PPP].proto = 0xC021  # link control
    return packet


frames = st.builds(_frame, link_headers, st.one_of(ip_packets, no_ip))
