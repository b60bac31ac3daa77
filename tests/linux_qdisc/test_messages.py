"""What is sent to the kernel and read from it, against pyroute2's decoder."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from linux_qdisc import encode, kernel, wire
from linux_qdisc.operations import (
    FLOW_KEYS,
    DeleteClass,
    ReplaceRoot,
    SetClass,
    SetClassifier,
    SetLeaf,
    classic_form,
)
from linux_qdisc.rtnetlink import DUMP_TRIES, NetlinkSocket, parse_answer
from linux_qdisc.stats import ClassReader, GuaranteeWriter, LimitWriter
from linux_qdisc.tree import (
    LINK_MINOR,
    ClassifierSpec,
    ClassShape,
    WireSize,
    classid,
    flow_minor,
    leaf_handle,
)
from qos.errors import KernelError, MissingPieceError, PrivilegeError

IFINDEX = 7
U32 = 2**32 - 1
rates = st.integers(8, 10**12)
shapes = st.builds(
    ClassShape,
    rates,
    rates,
    st.integers(1, 10**8),
    st.integers(1, 10**8),
    st.integers(1514, 2**31),
    st.builds(WireSize, st.integers(0, 256), st.integers(0, 256), st.booleans()),
)
minors = st.integers(1, 0xFFFF)


def decoded(request: encode.Request) -> dict[str, object]:
    kind, flags, body, _what = request
    message = tcmsg(wire.message(kind, flags, 3, body))
    message.decode()
    return message


@given(shapes, minors, minors, st.booleans())
def test_a_class_reads_back_as_it_was_meant(shape: ClassShape, minor: int, parent: int, create: bool) -> None:
    message = decoded(encode.set_class(SetClass("v0", minor, parent, shape, create=create), IFINDEX))
    options = message.get_attr("TCA_OPTIONS")
    found = options.get_attr("TCA_HTB_PARMS")
    assert (message["index"], message["handle"], message["parent"]) == (
        IFINDEX,
        classid(minor),
        classid(parent),
    )
    assert message.get_attr("TCA_KIND") == "htb"
    for name, rate_bps, burst, ticks in (
        ("rate", shape.rate_bps, shape.burst_bytes, found["buffer"]),
        ("ceil", shape.ceil_bps, shape.cburst_bytes, found["cbuffer"]),
    ):
        assert found[name] == min(rate_bps // 8, U32)
        assert (options.get_attr(f"TCA_HTB_{name.upper()}64") or found[name]) == rate_bps // 8
        assert (found[f"{name}_overhead"], found[f"{name}_mpu"]) == (
            shape.wire.overhead_bytes,
            shape.wire.mpu_bytes,
        )
        assert found[f"{name}___reserved"] == (2 if shape.wire.is_atm else 1)
        # One tick is 64 ns; the kernel holds 32 bits of them.
        seconds = burst * 8 / rate_bps
        assert ticks * 64e-9 == pytest.approx(min(seconds, U32 * 64e-9), rel=1e-6, abs=64e-9)
    assert found["quantum"] == shape.quantum_bytes


@given(minors, st.integers(0, 32767), st.integers(0, U32), st.booleans())
def test_a_leaf_reads_back_as_it_was_meant(minor: int, queue: int, limit: int, create: bool) -> None:
    request = encode.set_leaf(SetLeaf("v0", minor, leaf_handle(queue), limit, create=create), IFINDEX)
    message = decoded(request)
    assert (message["handle"], message["parent"]) == (leaf_handle(queue), classid(minor))
    assert message.get_attr("TCA_KIND") == "bfifo"
    assert bytes.fromhex(message.get_attr("TCA_OPTIONS").replace(":", "")) == struct.pack("=I", limit)
    assert bool(request[1] & wire.NLM_F_CREATE) is create


def test_the_root_and_its_default_class_read_back() -> None:
    message = decoded(encode.replace_root(ReplaceRoot("v0"), IFINDEX))
    init = message.get_nested("TCA_OPTIONS", "TCA_HTB_INIT")
    assert (message["handle"], message["parent"]) == (0x710000, U32)
    assert (init["version"], init["defcls"]) == (3, 0xF)


@pytest.mark.parametrize(
    ("isolate", "keys"),
    [
        ("flow", {"src", "dst", "proto", "proto-src", "proto-dst"}),
        ("source-host", {"src"}),
        ("destination-host", {"dst"}),
    ],
)
def test_cls_flow_reads_back_as_it_was_meant(isolate: str, keys: set[str]) -> None:
    operation = SetClassifier("v0", 64, ClassifierSpec(isolate, True, "flow"), create=True)
    requests = encode.set_flow_classifier(operation, IFINDEX)
    messages = [decoded(request) for request in requests]
    assert [message.get_attr("TCA_KIND") for message in messages] == ["flow", "flow"]
    # Preference and ethertype in network order: IPv4, IPv6.
    assert [message["info"] for message in messages] == [2 << 16 | 0x0008, 3 << 16 | 0xDD86]
    for message in messages:
        options = message.get_attr("TCA_OPTIONS")
        assert options.get_attr("TCA_FLOW_MODE")["flow_mode"] == "hash"
        assert options.get_attr("TCA_FLOW_BASECLASS") == classid(0x10)
        assert options.get_attr("TCA_FLOW_DIVISOR") == 64
        assert set(options.get_attr("TCA_FLOW_KEYS")["flow_keys"].split(",")) == keys
    for command in operation.commands():
        assert f"flow hash keys {','.join(FLOW_KEYS[isolate])} divisor 64 baseclass 71:10" in command


class Answering:
    """A kernel that lacks some kinds of filters; notes what it was asked to add and delete."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.added: list[str] = []
        self.deleted: list[int] = []

    def request(self, kind: int, flags: int, body: bytes, operation: str) -> None:
        message = decoded((kind, flags, body, operation))
        if kind == wire.RTM_DELTFILTER:
            self.deleted.append(message["info"] >> 16)
            return
        name = message.get_attr("TCA_KIND")
        if name in self.missing:
            raise KernelError(operation, errno.ENOENT)
        self.added.append(name)

    def batch(self, requests: list[encode.Request]) -> None:
        for request in requests:
            self.request(*request)


def install(monkeypatch: pytest.MonkeyPatch, missing: set[str], form: str, create: bool = True) -> Answering:
    def refused(*_: object) -> None:
        raise PrivilegeError("no bpf(2) here")

    monkeypatch.setattr(kernel.FlowMap, "create", refused)
    answering = Answering(missing)
    held = kernel.Kernel(answering)  # type: ignore[arg-type]
    monkeypatch.setattr(held, "_ifindex", lambda _: IFINDEX)
    held.apply([SetClassifier("v0", 64, ClassifierSpec("flow", True, form), create=create)])
    return answering


def test_without_ebpf_and_cls_bpf_the_kernels_own_hash_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(monkeypatch, set(), "auto").added == ["bpf"]
    assert install(monkeypatch, {"bpf"}, "auto").added == ["flow", "flow"]
    assert install(monkeypatch, set(), "flow").added == ["flow", "flow"]
    assert set(install(monkeypatch, {"bpf", "flow"}, "auto").added) == {"u32"}


@pytest.mark.parametrize(
    ("form", "gone"), [("flow", [1, 4, 5]), ("cbpf", [2, 3, 4, 5]), ("u32", [4, 5, 1, 2, 3])]
)
def test_an_exchange_removes_the_filters_of_the_other_form(
    monkeypatch: pytest.MonkeyPatch, form: str, gone: list[int]
) -> None:
    assert install(monkeypatch, set(), form, create=False).deleted == gone


@pytest.mark.parametrize(
    ("missing", "form", "named"),
    [
        ({"bpf", "flow", "u32"}, "auto", "cls_bpf .or cls_flow, or cls_u32"),
        ({"bpf"}, "cbpf", "cls_bpf"),
        ({"flow"}, "flow", "cls_flow"),
        ({"u32"}, "u32", "cls_u32"),
    ],
)
def test_without_a_classifier_the_piece_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: set[str], form: str, named: str
) -> None:
    with pytest.raises(MissingPieceError, match=named):
        install(monkeypatch, missing, form)


def test_a_form_that_is_asked_for_and_may_not_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrivilegeError):
        install(monkeypatch, set(), "ebpf")


def test_a_change_never_creates_or_replaces() -> None:
    """RTM_NEWQDISC with CREATE or REPLACE would drop the backlog (specification, 2)."""
    shape = ClassShape(8000, 8000, 1600, 1600, 1514, WireSize())
    for request in (
        encode.set_leaf(SetLeaf("v0", 0x10, leaf_handle(0), 9, create=False), IFINDEX),
        encode.set_class(SetClass("v0", 0x10, 1, shape, create=False), IFINDEX),
        encode.delete_class(DeleteClass("v0", 0x10), IFINDEX),
    ):
        assert not request[1] & (wire.NLM_F_CREATE | wire.NLM_F_REPLACE)


@pytest.mark.parametrize("create", [True, False])
def test_the_classifier_reads_back_in_both_forms(create: bool) -> None:
    operation = SetClassifier("v0", 16, ClassifierSpec("flow", True), create=create)
    extended = decoded(encode.set_classifier(operation, IFINDEX, 9)).get_attr("TCA_OPTIONS")
    assert (extended.get_attr("TCA_BPF_FD"), extended.get_attr("TCA_BPF_NAME")) == (9, "qos_flows")
    body = encode.set_classifier(operation, IFINDEX, None)[2]
    options = wire.attributes(wire.TcMessage.parse(memoryview(body)).attributes[wire.TCA_OPTIONS])
    count = struct.unpack("=H", options[encode.TCA_BPF_OPS_LEN])[0]
    assert count == len(classic_form(operation)) == len(options[encode.TCA_BPF_OPS]) // 8


@given(st.binary(max_size=400))
def test_garbage_read_as_messages_and_attributes_never_fails(data: bytes) -> None:
    for _kind, _flags, _seq, payload in wire.messages(data):
        wire.attributes(payload)
    wire.attributes(data)


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=30)), max_size=8))
def test_attributes_survive_the_round_trip(rows: list[tuple[int, bytes]]) -> None:
    packed = b"".join(wire.attr(kind, payload) for kind, payload in rows)
    assert {kind: bytes(value) for kind, value in wire.attributes(packed).items()} == dict(rows)


# --- class dumps ---

counters = st.tuples(
    st.integers(0, 2**63 - 1),
    st.integers(0, U32),
    st.integers(0, U32),
    st.integers(0, U32),
    st.integers(0, U32),
)
"""Bytes and packets sent; packets and bytes waiting; drops."""


def class_message(
    minor: int, row: tuple[int, int, int, int, int], seq: int, *, extra: bytes = b"", flags: int = 2
) -> bytes:
    sent_bytes, sent_packets, waiting, backlog, drops = row
    basic = wire.attr(wire.TCA_STATS_BASIC, struct.pack("=QIxxxx", sent_bytes, sent_packets))
    queue = wire.attr(wire.TCA_STATS_QUEUE, struct.pack("=IIIII", waiting, backlog, drops, 11, 12))
    body = wire.tcmsg(IFINDEX, classid(minor), classid(LINK_MINOR), leaf_handle(0)) + encode.kind("htb")
    body += extra + wire.nested(wire.TCA_STATS2, basic, queue)
    return wire.message(wire.RTM_NEWTCLASS, flags, seq, body)


def done(seq: int, flags: int = 2) -> bytes:
    return wire.message(wire.NLMSG_DONE, flags, seq, bytes(4))


class Answers(NetlinkSocket):
    """A socket whose kernel is a script: what to answer to each request, datagram by datagram."""

    def __init__(self, *scripts: object) -> None:
        self.scripts: Iterator[object] = iter(scripts)
        self.sent: list[bytes] = []
        self.waiting: list[bytes | OSError] = []
        self._seq = 0

    def send(self, data: bytes | memoryview) -> None:
        self.sent.append(bytes(data))
        script = next(self.scripts)
        self.waiting = list(script(self._seq))  # type: ignore[operator]

    def receive(self) -> memoryview:
        answer = self.waiting.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return memoryview(answer)


def reader(*scripts: object, flows: int = 8) -> ClassReader:
    return ClassReader(Answers(*scripts), IFINDEX, flows)


ROW = (100, 2, 1, 60, 3)


@given(
    st.dictionaries(st.integers(0, 0x30), st.tuples(counters, st.booleans()), max_size=40),
    st.integers(1, 12),
    st.permutations(range(0x31)),
)
def test_a_random_dump_reads_as_pyroute2_reads_it(
    rows: dict[int, tuple[tuple[int, int, int, int, int], bool]], per_datagram: int, order: list[int]
) -> None:
    """Any order, datagrams of any size, messages of two lengths, classes that are not ours."""
    packed = [
        class_message(minor, rows[minor][0], 1, extra=wire.attr(99, bytes(4)) if rows[minor][1] else b"")
        for minor in order
        if minor in rows
    ]
    datagrams = [
        b"".join(packed[start : start + per_datagram]) for start in range(0, len(packed), per_datagram)
    ]
    table = reader(lambda seq: [*datagrams, done(seq)], flows=32).read()
    expected = np.zeros((5, 32), np.int64)
    for data in packed:
        message = tcmsg(data)
        message.decode()
        queue = (message["handle"] & 0xFFFF) - 0x10
        basic, waits = (
            message.get_nested("TCA_STATS2", name) for name in ("TCA_STATS_BASIC", "TCA_STATS_QUEUE")
        )
        if 0 <= queue < 32:
            expected[:, queue] = (
                basic["bytes"],
                basic["packets"],
                waits["drops"],
                waits["backlog"],
                waits["qlen"],
            )
    found = (
        table.sent_bytes,
        table.sent_packets,
        table.dropped_packets,
        table.backlog_bytes,
        table.backlog_packets,
    )
    assert np.array_equal(np.stack(found), expected)


def good(seq: int) -> list[bytes]:
    return [class_message(0x10, ROW, seq), done(seq)]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(
            lambda seq: [
                class_message(0x10, ROW, seq, flags=2 | wire.NLM_F_DUMP_INTR) + class_message(0x11, ROW, seq),
                done(seq),
            ],
            id="flag on the first message",
        ),
        pytest.param(
            lambda seq: [
                class_message(0x10, ROW, seq) + class_message(0x11, ROW, seq, flags=2 | wire.NLM_F_DUMP_INTR),
                done(seq),
            ],
            id="flag on a later message of a run",
        ),
        pytest.param(
            lambda seq: [class_message(0x10, ROW, seq), done(seq, 2 | wire.NLM_F_DUMP_INTR)],
            id="flag on the end",
        ),
        pytest.param(
            lambda seq: [
                class_message(0x10, ROW, seq),
                OSError(errno.ENOBUFS, "no buffer space"),
                done(seq),
            ],
            id="overrun",
        ),
    ],
)
def test_an_interrupted_or_overrun_dump_is_made_again(bad: object) -> None:
    netlink = Answers(bad, bad, good)
    table = ClassReader(netlink, IFINDEX, 8).read()
    assert len(netlink.sent) == 3
    assert table.sent_bytes.tolist() == [100, 0, 0, 0, 0, 0, 0, 0]


def test_a_dump_that_never_succeeds_is_an_error_at_last() -> None:
    def interrupted(seq: int) -> list[bytes]:
        return [done(seq, 2 | wire.NLM_F_DUMP_INTR)]

    with pytest.raises(KernelError, match="interrupted"):
        reader(*[interrupted] * DUMP_TRIES).read()
    with pytest.raises(KernelError, match="kept changing"):
        Answers(*[interrupted] * DUMP_TRIES).dump(wire.RTM_GETQDISC, b"")


def test_messages_of_an_earlier_dump_are_passed_over() -> None:
    table = reader(
        lambda seq: [class_message(0x11, ROW, seq + 5), class_message(0x10, ROW, seq), done(seq)]
    ).read()
    assert table.sent_bytes.tolist()[:2] == [100, 0]


def refusal(seq: int, code: int) -> bytes:
    return wire.message(wire.NLMSG_ERROR, 0, seq, struct.pack("=i", -code) + bytes(16))


def test_a_refused_dump_carries_the_errno() -> None:
    with pytest.raises(KernelError) as found:
        reader(lambda seq: [refusal(seq, errno.ENODEV)]).read()
    assert found.value.errno_code == errno.ENODEV


# --- batched writes ---


@given(st.dictionaries(st.integers(0, 32767), st.integers(0, 2**31 - 1), min_size=1, max_size=1200))
def test_each_limit_goes_to_its_leaf(limits: dict[int, int]) -> None:
    def acknowledge(seq: int) -> list[bytes]:
        return [refusal(seq, 0)]

    netlink = Answers(*[acknowledge] * 10)
    queues, values = (np.array(list(part), np.int64) for part in (limits, limits.values()))
    LimitWriter(netlink, IFINDEX).write(queues, values)
    found = {}
    for datagram in netlink.sent:
        rows = list(wire.messages(datagram))
        assert [bool(flags & wire.NLM_F_ACK) for _k, flags, _s, _p in rows] == [False] * (len(rows) - 1) + [
            True
        ]
        for kind, flags, _seq, payload in rows:
            message = wire.TcMessage.parse(payload)
            assert (kind, message.kind, message.ifindex) == (wire.RTM_NEWQDISC, "bfifo", IFINDEX)
            assert not flags & (wire.NLM_F_CREATE | wire.NLM_F_REPLACE)
            queue = (message.parent & 0xFFFF) - 0x10
            assert message.handle == leaf_handle(queue)
            assert message.parent == classid(flow_minor(queue))
            found[queue] = struct.unpack("=I", message.attributes[wire.TCA_OPTIONS])[0]
    assert found == limits


def test_a_refused_limit_is_reported_though_only_the_last_asks_for_an_answer() -> None:
    with pytest.raises(KernelError) as found:
        LimitWriter(Answers(lambda seq: [refusal(seq - 2, errno.ENOENT), refusal(seq, 0)]), IFINDEX).write(
            np.arange(3), np.full(3, 9000)
        )
    assert found.value.errno_code == errno.ENOENT
    shape = ClassShape(8000, 8000, 1600, 1600, 1514, WireSize())
    with pytest.raises(PrivilegeError):
        GuaranteeWriter(Answers(lambda seq: [refusal(seq, errno.EPERM)]), IFINDEX).write(np.arange(1), shape)


def test_the_kernels_own_words_are_kept() -> None:
    words = wire.attr(1, wire.text("Specified qdisc kind is unknown"))
    answer = struct.pack("=i", -errno.ENOENT) + wire.HEADER.pack(16, 36, 0, 1, 0) + words
    flags = wire.NLM_F_CAPPED | wire.NLM_F_ACK_TLVS
    assert parse_answer(flags, memoryview(answer)) == (errno.ENOENT, "Specified qdisc kind is unknown")
