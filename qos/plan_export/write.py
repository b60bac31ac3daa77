"""Writing of an export: a new folder, or one that may be written into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from qos.errors import InputError, ValueRefusedError
from qos.plan_export.documents import containerlab_files, host_files, netplan_files
from qos.planning import Plan

DEFAULT_IMAGE = "qos-engine:latest"
FORMATS: Mapping[str, Callable[[Plan, str], dict[str, str]]] = {
    "containerlab": containerlab_files,
    "netplan": lambda plan, _image: netplan_files(plan),
    "hosts": lambda plan, _image: host_files(plan),
}
"""What makes the documents of each format, given the plan and the container image."""


def export(
    plan: Plan, format_name: str, folder: Path, *, image: str = DEFAULT_IMAGE, force: bool = False
) -> tuple[Path, ...]:
    """Write the files of a format; give their paths.

    Parameters
    ----------
    plan
        The plan.
    format_name
        One of `FORMATS`.
    folder
        Where to; made if it is not there.
    image
        Container image, for containerlab.
    force
        Write into a folder that is not empty; files of the same names are replaced.

    Raises
    ------
    ValueRefusedError
        If the format is unknown or there is no host.
    InputError
        If the folder is not empty and `force` is not given, or cannot be written.
    """
    if format_name not in FORMATS:
        raise ValueRefusedError(f"format {format_name!r} is unknown; use one of {', '.join(FORMATS)}")
    documents = FORMATS[format_name](plan, image)
    try:
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise InputError(f"{folder}: is not empty; --force writes into it")
        written = []
        for name, text in documents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            # netplan warns of configurations that others may read.
            path.chmod(0o600 if "netplan" in path.parts else 0o644)
            written.append(path)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    return tuple(written)
