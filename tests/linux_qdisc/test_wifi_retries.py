"""Retry limits by traffic class: the bytes of the command, and what is refused."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from linux_qdisc import wifi_retries
from linux_qdisc.wifi_retries import RetryLimit, limits_of_categories, set_retries, tid_config
from qos.errors import InputError, MissingPieceError, ValueRefusedError

HEADER = Path("/usr/include/linux/nl80211.h")


def attributes(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Read attributes by hand: kind, whether nested, payload."""
    found = []
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found.append((kind & 0x3FFF, bool(kind & 0x8000), data[4:length]))
        data = data[(length + 3) & ~3 :]
    return found


def test_the_message_is_what_the_kernel_reads() -> None:
    body = tid_config(3, limits_of_categories({"VO": 2, "BE": 7}), "02:00:00:00:00:01")
    assert body[:4] == bytes([137, 1, 0, 0])
    (index, _, ifindex), (mac, _, address), (config, is_nested, entries) = attributes(body[4:])
    assert (index, struct.unpack("=I", ifindex)[0]) == (3, 3)
    assert (mac, address.hex()) == (6, "020000000001")
    assert (config, is_nested) == (285, True)
    voice, best_effort = attributes(entries)
    assert voice[1]
    assert best_effort[1]
    assert [(kind, payload) for kind, _, payload in attributes(voice[2])] == [
        (5, struct.pack("=H", 1 << 6 | 1 << 7)),
        (7, b"\x02"),
        (8, b"\x02"),
    ]
    assert attributes(best_effort[2])[0][2] == struct.pack("=H", 1 << 0 | 1 << 3)


def test_for_all_stations_earlier_limits_are_overridden() -> None:
    (_, (_, _, entries)) = attributes(tid_config(3, [RetryLimit((5,), 4)])[4:])
    kinds = [kind for kind, _, _ in attributes(attributes(entries)[0][2])]
    assert kinds == [4, 5, 7, 8]


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's headers are not installed")
def test_the_numbers_are_those_of_the_kernel_header() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)

    def place(name: str, enum: str) -> int:
        body = re.search(rf"enum {enum} \{{(.*?)\n\}};", text, re.S)
        assert body is not None
        # An alias (A = B) takes no number of its own.
        names = [each.strip() for each in body[1].split(",") if each.strip() and "=" not in each]
        names = [each for each in names if not each.startswith("#")]
        return names.index(name)

    assert place("NL80211_CMD_SET_TID_CONFIG", "nl80211_commands") == wifi_retries.CMD_SET_TID_CONFIG
    assert place("NL80211_ATTR_TID_CONFIG", "nl80211_attrs") == wifi_retries.ATTR_TID_CONFIG
    for name in ("OVERRIDE", "TIDS", "RETRY_SHORT", "RETRY_LONG"):
        number = place(f"NL80211_TID_CONFIG_ATTR_{name}", "nl80211_tid_config_attr")
        assert number == getattr(wifi_retries, f"TID_{name}")


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="some of 0 to 7"):
        RetryLimit((8,), 1)
    with pytest.raises(ValueRefusedError, match="the kernel takes 1 to 255"):
        RetryLimit((0,), 0)
    with pytest.raises(ValueRefusedError, match="access category 'XX' is unknown"):
        limits_of_categories({"XX": 3})
    with pytest.raises(ValueRefusedError, match="one retry limit"):
        tid_config(3, [RetryLimit((0, 3), 2), RetryLimit((3,), 4)])
    with pytest.raises(ValueRefusedError, match="hardware address"):
        tid_config(3, [RetryLimit((0,), 2)], "02:00")
    with pytest.raises(InputError, match="no radio here"):
        set_retries("lo", [RetryLimit((0,), 2)])


def test_a_kernel_without_wifi_is_told_apart() -> None:
    """The generic netlink exchange runs on this kernel; a family that it lacks is a missing piece."""
    if Path("/sys/class/ieee80211").exists():
        pytest.skip("this kernel has nl80211")
    with wifi_retries._generic_socket() as link, pytest.raises(MissingPieceError, match="no nl80211"):
        wifi_retries._family(link)
