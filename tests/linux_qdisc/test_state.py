"""What is remembered on disk: whole files or none, one key an interface, locks that die with their holder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linux_qdisc import namespace, state
from linux_qdisc.settings import QueueSettings
from linux_qdisc.state import Attachment, InterfaceLock, Key
from qos.errors import BusyError, InputError, PrivilegeError

ROOT = {"handle": 0, "parent": 2**32 - 1, "info": 0, "kind": "noqueue", "options": ""}
BEFORE = {"root": ROOT, "qdiscs": [], "classes": [], "filters": []}


def attachment(rate_bps: int = 10**6) -> Attachment:
    switched = {"v0": {"tso": True, "gso": None}}
    return Attachment(QueueSettings("v0", rate_bps), BEFORE, switched, 42, 7, namespace.identity())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QOS_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_an_attachment_reads_back_as_it_was_written() -> None:
    key = Key.of(5)
    state.write(key, attachment())
    assert state.read(key) == attachment()
    assert state.attached() == [(key, attachment())]
    state.forget(key)
    assert (state.read(key), state.attached()) == (None, [])


def test_the_same_index_in_another_namespace_is_another_interface() -> None:
    here, there = Key.of(5), Key(namespace.inode() + 1, 5)
    state.write(there, attachment())
    assert (state.read(here), state.attached()) == (None, [])
    state.write(here, attachment(2 * 10**6))
    assert state.read(there) == attachment()
    state.forget(here)
    assert state.read(there) == attachment()


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key.of(5)
    state.write(key, attachment())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write(key, attachment(2 * 10**6))
    assert state.read(key) == attachment()
    assert [path.name for path in folder.iterdir()] == [key.path("json").name]


def test_a_reader_never_sees_half_a_file() -> None:
    key = Key.of(5)
    state.write(key, attachment())
    script = (
        "from linux_qdisc import state\n"
        f"key = state.Key({key.namespace_inode}, 5)\n"
        "held = state.read(key)\n"
        "while True: state.write(key, held)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as writer:
        try:
            first, deadline = key.path("json").stat().st_ino, time.monotonic() + 10
            while key.path("json").stat().st_ino == first:
                assert time.monotonic() < deadline
            for _ in range(500):
                assert state.read(key) == attachment()
        finally:
            writer.kill()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"schema": 2}',
        '{"schema": 1}',
        json.dumps(attachment().to_json() | {"settings": {}}),
        json.dumps(attachment().to_json() | {"pid": "x"}),
        json.dumps(attachment().to_json() | {"before": None}),
        "\u0000" * 9,
    ],
)
def test_a_damaged_file_is_one_clear_error(text: str) -> None:
    key = Key.of(5)
    state.ensure_directory()
    key.path("json").write_text(text)
    with pytest.raises(InputError, match="remove the file"):
        state.read(key)


def test_a_file_that_is_no_text_is_a_clear_error() -> None:
    key = Key.of(5)
    state.ensure_directory()
    key.path("json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="damaged"):
        state.read(key)


def test_a_directory_that_others_may_write_is_not_trusted(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PrivilegeError, match="QOS_STATE_DIR"):
        state.write(Key.of(5), attachment())


def test_a_link_in_the_place_of_the_directory_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrivilegeError):
        state.ensure_directory()


def test_a_second_lock_is_refused_and_names_the_holder() -> None:
    key = Key.of(5)
    state.write(key, attachment())
    lock = InterfaceLock(key, "v0")
    assert state.is_locked(key)
    with pytest.raises(BusyError, match="process 42"):
        InterfaceLock(key, "v0")
    lock.release()
    assert not state.is_locked(key)
    InterfaceLock(key, "v0").release()


def test_the_lock_of_a_killed_process_is_free_at_once() -> None:
    key = Key.of(5)
    state.ensure_directory()
    script = (
        "from linux_qdisc import state; import time\n"
        f"lock = state.InterfaceLock(state.Key({key.namespace_inode}, 5), 'v0')\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            InterfaceLock(key, "v0")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    InterfaceLock(key, "v0").release()


def test_where_the_state_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QOS_STATE_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state.directory() == Path("/run/qos")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert state.directory() == Path("/run/user/1000/qos")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert state.directory().name == "qos-1000"


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    assert state.start_time(os.getpid()) == state.start_time(os.getpid()) is not None
    assert state.start_time(2**22 + 5) is None
