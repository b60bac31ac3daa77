"""`/etc/qos/<dev>.yaml`: the long flags of `qos attach`, with underscores, one a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from qos.errors import InputError

MAX_FILE_BYTES = 65_536
KEYS = frozenset(
    {
        "rate",
        "ingress",
        "flows",
        "policy",
        "prefer",
        "alpha",
        "interval",
        "offloads",
        "gro_off",
        "overhead",
        "mpu",
        "linklayer",
        "isolate",
        "metrics",
        "force",
    }
)


def read_host_file(path: Path) -> Mapping[str, object]:
    """Read the flags that a host file sets, as the user wrote them.

    Raises
    ------
    InputError
        If the file cannot be read, is no YAML mapping, or has an unknown key.
    """
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
    for key, value in document.items():
        if key not in KEYS:
            raise InputError(f"{path}: unknown key {key!r}; known: {', '.join(sorted(KEYS))}")
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if is_list is not (key == "gro_off") or (not is_list and not isinstance(value, str | int | bool)):
            raise InputError(
                f"{path}: {key}: expected {'a list of names' if key == 'gro_off' else 'one value'}"
            )
    return document
