"""`/etc/qos/<dev>.yaml`: the long flags of `qos attach`, with underscores, one a line.

The values are those that a user would write behind the flags; the flags themselves check them. The
JSON Schema of the file stands beside this module (`hostfile.schema.json`), for editors.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from qos.errors import InputError

MAX_FILE_BYTES = 65_536
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


class HostFile(BaseModel):
    """What may stand in a host file."""

    model_config = ConfigDict(extra="forbid", title="qos host file", use_attribute_docstrings=True)

    rate: StrictStr | StrictInt | None = None
    """Rate of the link, such as 100mbit, or auto, which follows a radio; a bare number is bit/s."""
    ingress: StrictStr | StrictInt | None = None
    """Shape incoming traffic to this rate."""
    flows: StrictInt | None = Field(None, ge=2, le=32_768)
    """Number of queues, a power of two."""
    policy: StrictStr | None = None
    """Limit policy, such as lfq, sawtooth or fixed:30kb."""
    prefer: Literal["latency", "balanced", "throughput"] | None = None
    """What lfq prefers."""
    alpha: StrictInt | StrictFloat | None = None
    """Price of delay for lfq, 1/s, in place of prefer."""
    learn: StrictBool | None = None
    """lfq goes on learning on the flows that pass, into the file that weights names."""
    weights: StrictStr | None = None
    """File of the weights of lfq; empty or missing: the shipped ones, or with learn /var/lib/qos/DEV.npz."""
    interval: StrictStr | None = None
    """Time between two polls, 1ms to 10s."""
    offloads: Literal["keep", "off"] | bool | None = None
    """`off`: no GSO and TSO on the interface (YAML reads a bare off as false, which is understood)."""
    gro_off: list[StrictStr] | None = None
    """Interfaces whose GRO is switched off."""
    overhead: StrictInt | None = Field(None, ge=0, le=256)
    """Bytes that the link adds to an IP packet."""
    mpu: StrictInt | None = Field(None, ge=0, le=256)
    """Smallest packet on the wire in bytes."""
    linklayer: Literal["ethernet", "atm", "ptm"] | None = None
    """Framing of the link."""
    isolate: Literal["flow", "source-host", "destination-host"] | None = None
    """What gets a fair share."""
    classifier: Literal["auto", "ebpf", "cbpf", "flow", "u32"] | None = None
    """How packets find their queue; auto takes the first that works."""
    metrics: StrictStr | None = None
    """ADDR:PORT of the Prometheus endpoint; :PORT is loopback."""
    force: StrictBool | None = None
    """Replace somebody else's qdiscs; detach restores them."""


def host_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a host file."""
    return {"$schema": SCHEMA_ID} | HostFile.model_json_schema()


def shipped_schema() -> str:
    """Return the text of the schema as it is shipped."""
    return files("linux_qdisc").joinpath("hostfile.schema.json").read_text()


def read_host_file(path: Path) -> Mapping[str, object]:
    """Read the flags that a host file sets, as the user wrote them.

    Raises
    ------
    InputError
        If the file cannot be read, is no YAML mapping, has an unknown key or a value of a wrong type.
    """
    document = _read_yaml(path)
    try:
        read = HostFile.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from None
    found = read.model_dump(exclude_none=True)
    if isinstance(found.get("offloads"), bool):
        found["offloads"] = "keep" if found["offloads"] else "off"
    return found


def _read_yaml(path: Path) -> dict[object, object]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: larger than {MAX_FILE_BYTES} bytes, so no host file")
    try:
        document = yaml.safe_load(data.decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise InputError(f"{where}: not readable as YAML: {problem}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected keys and values, such as 'rate: 100mbit'")
    return document


def _explain(error: ValidationError) -> str:
    """Say in one line what is wrong with the first wrong key."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return f"unknown key {place[0]!r}; known: {', '.join(sorted(HostFile.model_fields))}"
    if first["type"] == "invalid_key":
        return "a key is no text"
    field = HostFile.model_fields.get(place[0])
    what = f" ({field.description})" if field and field.description else ""
    got = repr(first.get("input"))[:40]
    return f"{place[0]}: {got} cannot be used: {first['msg'].lower()}{what}"
