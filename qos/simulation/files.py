"""Scenario files: a topology, flows, queues, in YAML.

::

    schema: 1
    topology: dumbbell              # a name of the library, or a file beside this one
    duration: 10s
    seed: 1
    queues:
      - {link: left--right, from: left, discipline: fq_codel, limit_packets: 1000}
      - {discipline: fifo}          # without a link: all others
    rates:
      - {link: left--right, from: left, times: [0s, 2s], rates: [10mbit, 5mbit], period: 4s}
    flows:
      - {sender: cubic, from: s0, to: r0, count: 2, start: 0s, transport: {stack: linux, ecn: true}}
      - {sender: udp, from: s1, to: r1, application: {kind: constant-rate, rate: 1mbit}}
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from qos.errors import InputError, QosError, ValueRefusedError
from qos.simulation.scenario import (
    STACKS,
    AdaptiveBitrate,
    Application,
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    OnOff,
    RateTrace,
    RequestResponse,
    Scenario,
    Transport,
    transport_of,
)
from qos.units import NANOSECONDS_PER_SECOND, parse_duration, parse_rate, parse_size
from schedulers.packet.registry import QueueConfiguration, queue
from topologies.files import read
from topologies.model import Topology

MOST_BYTES = 16 << 20
MOST_FLOWS = 100_000

_KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "bulk": Bulk,
        "fixed": FixedSize,
        "constant-rate": ConstantRate,
        "on-off": OnOff,
        "request-response": RequestResponse,
        "adaptive-bitrate": AdaptiveBitrate,
    }
)


def _fail(path: Path, key: str, problem: str) -> InputError:
    return InputError(f"{path}: {key}: {problem}")


def _known(path: Path, key: str, record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Take a mapping that has only known keys."""
    if not isinstance(record, dict):
        raise _fail(path, key, f"must be a mapping of names to values, not {record!r:.60}")
    for name in record:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise _fail(path, key, f"unknown key {name!r}; known: {', '.join(names)}{hint}")
    return record


def _entries(path: Path, document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise _fail(path, key, "must be a list")
    return value


def _seconds(value: Any) -> float:
    return parse_duration(str(value)) / NANOSECONDS_PER_SECOND


def _converted(name: str, value: Any) -> Any:
    """Read a value with a unit by the ending of its field's name; others as they are."""
    if isinstance(value, list):
        return tuple(_converted(name, item) for item in value)
    if isinstance(value, str):
        if name.endswith("_s"):
            return _seconds(value)
        if name.endswith("_bps"):
            return parse_rate(value)
        if name.endswith("_bytes"):
            return parse_size(value)
    return value


def _short_names(kind: type[Any]) -> dict[str, str]:
    """Map the names of a file to fields: `rate` and `rate_bps` are both `rate_bps`."""
    names: dict[str, str] = {}
    for field in fields(kind):
        names[field.name] = field.name
        for ending in ("_s", "_bps", "_bytes"):
            if field.name.endswith(ending):
                names.setdefault(field.name.removesuffix(ending), field.name)
    return names


def _made(path: Path, key: str, kind: type[Any], record: dict[str, Any]) -> Any:
    names = _short_names(kind)
    _known(path, key, record, tuple(names))
    try:
        return kind(**{names[name]: _converted(names[name], value) for name, value in record.items()})
    except QosError as error:
        raise _fail(path, key, str(error)) from None
    except TypeError as error:
        raise _fail(path, key, f"{str(error).rpartition(') ')[2] or error}") from None


def _application(path: Path, key: str, record: Any) -> Application:
    if not isinstance(record, dict) or record.get("kind") not in _KINDS:
        raise _fail(path, key, f"needs a kind: one of {', '.join(_KINDS)}")
    rest = {name: value for name, value in record.items() if name != "kind"}
    made: Application = _made(path, key, _KINDS[record["kind"]], rest)
    return made


def _transport(path: Path, key: str, record: Any) -> Transport:
    """Make a transport: a stack by its name, and what differs."""
    names = _short_names(Transport)
    _known(path, key, record, ("stack", *names))
    changes = {names[name]: _converted(names[name], value) for name, value in record.items() if name in names}
    try:
        return transport_of(str(record.get("stack", STACKS[0])), **changes)
    except QosError as error:
        raise _fail(path, key, str(error)) from None


def _flow_group(path: Path, key: str, record: Any) -> tuple[Flow, ...]:
    known = ("sender", "from", "to", "count", "application", "transport", "start", "stop", "via")
    _known(path, key, record, known)
    for name in ("sender", "from", "to"):
        if name not in record:
            raise _fail(path, key, f"{name} is missing")
    count = record.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_FLOWS:
        raise _fail(path, f"{key}.count", f"must be a whole number from 1 to {MOST_FLOWS}, not {count!r}")
    application = record.get("application", {"kind": "bulk"})
    via = record.get("via", [])
    if not isinstance(via, list):
        raise _fail(path, f"{key}.via", "must be a list of link ids")
    try:
        flow = Flow(
            sender=str(record["sender"]),
            source=str(record["from"]),
            target=str(record["to"]),
            application=_application(path, f"{key}.application", application),
            transport=_transport(path, f"{key}.transport", record.get("transport", {})),
            start_s=_seconds(record.get("start", "0s")),
            stop_s=_seconds(record["stop"]) if "stop" in record else None,
            via=tuple(str(link) for link in via),
        )
    except InputError:
        raise
    except QosError as error:
        raise _fail(path, key, str(error)) from None
    return (flow,) * count


def parsed_queue(discipline: str, values: Mapping[str, Any]) -> QueueConfiguration:
    """Make a queue of parameters as a file or a command line writes them.

    Parameters
    ----------
    discipline
        One of `schedulers.packet.registry.discipline_names()`.
    values
        Attributes of `QueueConfiguration`, with or without the unit at the end of the name; text is read as
        YAML: ``{"target": "5ms", "limit_packets": "100"}``.

    Raises
    ------
    ValueRefusedError
        If a name is unknown or a value out of range.
    """
    names = _short_names(QueueConfiguration)
    parameters: dict[str, Any] = {}
    for name, value in values.items():
        field = names.get(name, name)
        try:
            plain = yaml.safe_load(value) if isinstance(value, str) else value
        except yaml.YAMLError:
            raise ValueRefusedError(f"queue {discipline}: {name}: {value[:40]!r} is no value") from None
        parameters[field] = _converted(field, plain)
    return queue(discipline, **parameters)


def _queues(
    path: Path, document: Mapping[str, Any]
) -> tuple[dict[tuple[str, str], QueueConfiguration], QueueConfiguration]:
    chosen: dict[tuple[str, str], QueueConfiguration] = {}
    default = queue("fifo")
    names = _short_names(QueueConfiguration)
    for number, record in enumerate(_entries(path, document, "queues")):
        key = f"queues[{number}]"
        _known(path, key, record, ("link", "from", *names))
        if "discipline" not in record:
            raise _fail(path, key, "discipline is missing")
        rest = {n: v for n, v in record.items() if n not in ("link", "from", "discipline")}
        try:
            made = parsed_queue(str(record["discipline"]), rest)
        except QosError as error:
            raise _fail(path, key, str(error)) from None
        if ("link" in record) != ("from" in record):
            raise _fail(path, key, "link and from are given together, or neither")
        if "link" in record:
            chosen[str(record["link"]), str(record["from"])] = made
        else:
            default = made
    return chosen, default


def _rates(path: Path, document: Mapping[str, Any]) -> dict[tuple[str, str], RateTrace]:
    traces: dict[tuple[str, str], RateTrace] = {}
    for number, record in enumerate(_entries(path, document, "rates")):
        key = f"rates[{number}]"
        _known(path, key, record, ("link", "from", "times", "rates", "period"))
        for name in ("link", "from", "times", "rates"):
            if name not in record:
                raise _fail(path, key, f"{name} is missing")
        try:
            traces[str(record["link"]), str(record["from"])] = RateTrace(
                tuple(_seconds(value) for value in record["times"]),
                tuple(parse_rate(str(value)) for value in record["rates"]),
                _seconds(record["period"]) if "period" in record else None,
            )
        except (QosError, TypeError) as error:
            raise _fail(path, key, str(error)) from None
    return traces


def _topology(path: Path, document: Mapping[str, Any]) -> Topology:
    named = document.get("topology")
    if not isinstance(named, str):
        raise _fail(path, "topology", "must name a topology of the library or a file")
    beside = path.parent / named
    return read(str(beside) if beside.is_file() else named).topology


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: larger than {MOST_BYTES >> 20} MiB")
        loaded = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; give the word dumbbell or a scenario file (.yaml)"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    known = ("schema", "name", "topology", "duration", "seed", "queues", "rates", "flows")
    more = ("ring_packets", "frame_overhead_bytes", "burst", "sample")
    document = _known(path, "the file", loaded, known + more)
    if document.get("schema") != 1:
        raise _fail(path, "schema", f"must be 1, not {document.get('schema')!r}")
    return document


def load_scenario(file: str | Path) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    file
        Its path.

    Raises
    ------
    InputError
        If it cannot be read or a value cannot be used; the message names file and key.
    """
    path = Path(file)
    document = _document(path)
    if "duration" not in document:
        raise _fail(path, "duration", "is missing")
    flows: list[Flow] = []
    for number, record in enumerate(_entries(path, document, "flows")):
        flows += _flow_group(path, f"flows[{number}]", record)
        if len(flows) > MOST_FLOWS:
            raise _fail(path, "flows", f"more than {MOST_FLOWS} flows")
    queues, default = _queues(path, document)
    rates = _rates(path, document)
    topology = _topology(path, document)
    try:
        return Scenario(
            topology,
            tuple(flows),
            _seconds(document["duration"]),
            queues,
            default,
            rates,
            ring_packets=document.get("ring_packets", 1),
            frame_overhead_bytes=document.get("frame_overhead_bytes", 2),
            burst_s=_seconds(document.get("burst", "0ms")),
            seed=document.get("seed", 0),
            sample_s=_seconds(document.get("sample", "1ms")),
        )
    except QosError as error:
        raise InputError(f"{path}: {error}") from None
