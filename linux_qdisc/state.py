"""What we own on this host, and how to give it back: one file an interface.

Files stand under `/run/qos` for a process with CAP_NET_ADMIN in the first user namespace,
`$XDG_RUNTIME_DIR/qos` otherwise, `$QOS_STATE_DIR` where that is set. They are keyed by network
namespace and interface index, because names may change and repeat. A controller holds a lock
(flock) on its interface as long as it lives, so a lock cannot go stale: the kernel drops it with
the process.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from linux_qdisc import namespace
from linux_qdisc.offloads import Switched
from linux_qdisc.settings import QueueSettings
from qos.errors import BusyError, InputError, PrivilegeError, QosError

SCHEMA = 1


def directory() -> Path:
    """Return the directory of the state files, without making it."""
    named = os.environ.get("QOS_STATE_DIR")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/run/qos")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "qos") if runtime else Path(tempfile.gettempdir(), f"qos-{os.geteuid()}")


def ensure_directory() -> Path:
    """Make the directory of the state files, private to this user.

    Raises
    ------
    PrivilegeError
        If it cannot be made or belongs to somebody else.
    """
    path = directory()
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        facts = path.lstat()
    except OSError as error:
        raise PrivilegeError(
            f"state directory {path}: {error.strerror}; run as root or set QOS_STATE_DIR"
        ) from None
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise PrivilegeError(
            f"state directory {path} is not a directory of this user alone; set QOS_STATE_DIR"
        )
    return path


@dataclass(frozen=True, slots=True)
class Key:
    """An interface, told apart from every other on this host.

    Attributes
    ----------
    namespace_inode
        Inode of its network namespace.
    ifindex
        Its index there.
    """

    namespace_inode: int
    ifindex: int

    @classmethod
    def of(cls, ifindex: int) -> Self:
        """Return the key of an interface of the present network namespace."""
        return cls(namespace.inode(), ifindex)

    def path(self, suffix: str) -> Path:
        """Return the file of this interface with a suffix such as ``json``."""
        return directory() / f"{self.namespace_inode}-{self.ifindex}.{suffix}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """What we did to an interface.

    Attributes
    ----------
    settings
        What was asked for; its tree is what stands.
    before
        The qdisc that was there, as `linux_qdisc.snapshot` wrote it.
    offloads_before
        Offloads that we switched, by interface, as they were.
    pid
        The controller.
    controller_started
        Start time of the controller in clock ticks since boot, which tells a reused pid.
    namespace
        What `linux_qdisc.namespace.identity` said; inodes are used again, this is not.
    ended
        Why the controller ended by itself; empty while it runs and where it was told to stop.
    """

    settings: QueueSettings
    before: dict[str, Any]
    offloads_before: Switched
    pid: int
    controller_started: int
    namespace: str = ""
    ended: str = ""

    def renamed(self, device: str) -> Self:
        """Return the same for an interface that is called `device` by now."""
        former = self.settings.device
        switched = {device if name == former else name: rows for name, rows in self.offloads_before.items()}
        return replace(self, settings=replace(self.settings, device=device), offloads_before=switched)

    def to_json(self) -> dict[str, Any]:
        """Return the document that is written to disk."""
        return {
            "schema": SCHEMA,
            "settings": self.settings.to_json(),
            "before": self.before,
            "offloads_before": self.offloads_before,
            "pid": self.pid,
            "controller_started": self.controller_started,
            "namespace": self.namespace or namespace.identity(),
            "ended": self.ended,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            settings=QueueSettings.from_json(document["settings"]),
            before=dict(document["before"]),
            offloads_before=dict(document["offloads_before"]),
            pid=int(document["pid"]),
            controller_started=int(document["controller_started"]),
            namespace=str(document["namespace"]),
            ended=str(document.get("ended", "")),
        )


def read(key: Key) -> Attachment | None:
    """Read the attachment of an interface; None if there is none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = key.path("json")
    try:
        document = json.loads(path.read_text())
        if document.get("schema") != SCHEMA:
            raise InputError(f"{path}: schema {document.get('schema')!r}, expected {SCHEMA}; remove the file")
        found = Attachment.from_json(document)
        # A file that outlived its namespace, or a boot, says nothing about the interface of now.
        return found if found.namespace == namespace.identity() else None
    except FileNotFoundError:
        return None
    except PermissionError:
        raise PrivilegeError(f"{path} cannot be read; run as the user who attached") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, QosError):
            raise
        raise InputError(f"{path} is damaged ({error}); remove the file, then 'qos attach --force'") from None


def write(key: Key, attachment: Attachment) -> None:
    """Write the attachment of an interface atomically: a reader sees the old file or the new one."""
    path = key.path("json")
    descriptor, temporary = tempfile.mkstemp(dir=ensure_directory(), prefix=".new-")
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(attachment.to_json(), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def forget(key: Key) -> None:
    """Remove the files of an interface that was given back."""
    for suffix in ("json", "sock", "log"):
        key.path(suffix).unlink(missing_ok=True)


def attached() -> list[tuple[Key, Attachment]]:
    """List the attachments in the present network namespace, by interface index."""
    inode = namespace.inode()
    found = []
    for path in sorted(directory().glob(f"{inode}-*.json")):
        index = path.stem.partition("-")[2]
        if index.isdigit():
            key = Key(inode, int(index))
            attachment = read(key)
            if attachment is not None:
                found.append((key, attachment))
    return sorted(found, key=lambda pair: pair[0].ifindex)


class InterfaceLock:
    """The right to control one interface, held until `release` or the end of the process."""

    def __init__(self, key: Key, device: str) -> None:
        """Take the lock, or raise BusyError at once if another process holds it."""
        ensure_directory()
        self._descriptor = os.open(key.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            holder = read(key)
            who = f" (process {holder.pid})" if holder else ""
            raise BusyError(
                f"{device} is controlled by another process{who}; 'qos detach {device}' ends it"
            ) from None

    def release(self) -> None:
        """Give the lock up; the file stays, so that two processes never lock two files."""
        os.close(self._descriptor)


def is_locked(key: Key) -> bool:
    """Say whether a controller holds the interface."""
    try:
        descriptor = os.open(key.path("lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])
