from __future__ import annotations

import socket

import pytest

from topologies.files import SUFFIXES, dumps, parse
from topologies.host import Interface, Route, _handle, _view, read_host


def interface(name: str, **values: object) -> Interface:
    given = {
        "index": 1,
        "kind": "",
        "up": True,
        "mtu_bytes": 1500,
        "hardware_address": "",
        "addresses": (),
        "rate_bps": None,
        "wireless": False,
        "qdiscs": (),
    }
    return Interface(name=name, **(given | values))  # type: ignore[arg-type]


def test_every_host_shows_its_loopback_with_address_and_qdisc():
    view = read_host()
    loopback = next(i for i in view.interfaces if i.name == "lo")
    assert loopback.index == 1
    assert loopback.mtu_bytes > 0
    if loopback.up:
        assert "127.0.0.1/8" in loopback.addresses
        assert loopback.qdiscs[0].endswith("root")


def test_every_interface_but_the_loopback_is_a_link_of_the_host():
    view = read_host()
    names = [i.name for i in view.interfaces if i.name != "lo" and not i.wireless]
    assert list(view.topology.links) == names
    assert view.topology.nodes[socket.gethostname()].interfaces == tuple(i.name for i in view.interfaces)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_host_can_be_written_in_every_format(suffix: str):
    topology = read_host().topology
    assert parse(dumps(topology, suffix), suffix, "host").topology == topology


def test_the_gateway_of_a_default_route_stands_behind_its_interface():
    interfaces = (
        interface("lo"),
        interface("eth0", rate_bps=10**10),
        interface("eth1"),
        interface("wlan0", wireless=True),
    )
    routes = (Route("default", "192.0.2.1", "eth0", 0), Route("default", "fe80::1", "eth0", 1024))
    view = _view(interfaces, routes)
    links = {name: (link.target, link.rate_bps) for name, link in view.topology.links.items()}  # type: ignore[union-attr]
    assert links == {"eth0": ("192.0.2.1", 10**10), "eth1": ("segment-eth1", 10**9)}
    assert view.notes == (
        "no line rate known for eth1: 1gbit assumed",
        "radio wlan0 is not drawn: its channel is not read",
    )


def test_handles_are_spelled_as_tc_spells_them():
    assert (_handle(0x80010000), _handle(0x00010002), _handle(0)) == ("8001:", "1:2", "0:")
