"""The arrival pattern of a capture as a flow that is replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qos.errors import InputError
from qos.simulation.scenario import Flow, Replay

MOST_PACKETS = 5_000_000
MOST_FLOWS = 100_000
IPV6_HEADER_BYTES = 40


def _flow_key(packet: Any) -> tuple[Any, ...] | None:
    """Name the flow of a packet by its addresses, protocol and ports; None: not IP."""
    network = packet.getlayer("IP") or packet.getlayer("IPv6")
    if network is None:
        return None
    transport = packet.getlayer("TCP") or packet.getlayer("UDP")
    ports = (transport.sport, transport.dport) if transport is not None else (0, 0)
    protocol = network.proto if network.name == "IP" else network.nh
    return (network.src, network.dst, protocol, *ports)


def _ip_bytes(packet: Any) -> int:
    """Give the length that the IP header declares; a capture may hold less of the packet."""
    network = packet.getlayer("IP") or packet.getlayer("IPv6")
    declared = network.len if network.name == "IP" else (network.plen or 0) + IPV6_HEADER_BYTES
    return min(int(declared or len(network)), 65_535)


def replayed_flows(path: Path) -> tuple[Flow, ...]:
    """Read a pcap or pcapng file; make one replaying flow of each flow in it, from ``left`` to ``right``.

    Sizes are those of the IP packets on the wire; what is not IP is left out.

    Parameters
    ----------
    path
        The capture.

    Raises
    ------
    InputError
        If the file cannot be read, is no capture, or has no IP packets.
    """
    from scapy.error import Scapy_Exception
    from scapy.utils import PcapReader

    times: dict[tuple[Any, ...], list[float]] = {}
    sizes: dict[tuple[Any, ...], list[int]] = {}
    first_s: float | None = None
    count = 0
    try:
        import scapy.layers.all  # noqa: F401 - the layers register themselves

        with path.open("rb") as file, PcapReader(file) as reader:  # type: ignore[arg-type]
            for packet in reader:
                key = _flow_key(packet)
                if key is None:
                    continue
                count += 1
                if count > MOST_PACKETS:
                    raise InputError(f"{path}: more than {MOST_PACKETS} packets; cut the capture")
                first_s = float(packet.time) if first_s is None else first_s
                times.setdefault(key, []).append(max(float(packet.time) - first_s, 0.0))
                sizes.setdefault(key, []).append(_ip_bytes(packet))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (Scapy_Exception, EOFError) as error:
        raise InputError(f"{path}: not a capture that can be read ({error})") from None
    if not times:
        raise InputError(f"{path}: no IP packets in this capture")
    if len(times) > MOST_FLOWS:
        raise InputError(f"{path}: more than {MOST_FLOWS} flows; cut the capture")
    return tuple(
        Flow(
            "udp",
            "left",
            "right",
            Replay(*zip(*sorted(zip(times[key], sizes[key], strict=True)), strict=True)),
        )
        for key in times
    )
