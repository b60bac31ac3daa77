"""A controller in a process of its own, started by another one that waits until it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from linux_qdisc import state
from linux_qdisc.control import ask
from linux_qdisc.device import device_facts
from linux_qdisc.settings import QueueSettings
from qos.errors import BusyError, InputError, QosError

READY_FD = "QOS_READY_FD"


class RefusedElsewhereError(QosError):
    """What the controller's process refused, with the exit code that it gave."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


def start_controller(words: Sequence[str]) -> None:
    """Run `qos` with these words and ``--foreground`` in a process that outlives this one.

    Raises
    ------
    RefusedElsewhereError
        If the controller says why it cannot start.
    InputError
        If it ended without a word.
    """
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "qos", *words, "--foreground"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
        env=os.environ | {READY_FD: str(writer)},
        start_new_session=True,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read()
    if not said:
        process.wait()
        raise InputError("the controller ended before it was ready; run it with --foreground to see why")
    answer = json.loads(said)
    if not answer.get("ok"):
        process.wait()
    else:
        process.returncode = 0  # it is not ours to wait for; without this, Popen warns when it is collected
    raise_answer(answer)


def raise_answer(answer: dict[str, Any]) -> None:
    """Raise what the controller refused; pass where it agreed."""
    if not answer.get("ok"):
        raise RefusedElsewhereError(str(answer.get("error")), int(str(answer.get("exit_code", 1))))


def reload_controller(wanted: QueueSettings, *, force: bool) -> int:
    """Tell the running controller of an interface what is wanted now; give the number of changes.

    Raises
    ------
    BusyError
        If it does not answer.
    RefusedElsewhereError
        If it refuses.
    """
    key = state.Key.of(device_facts(wanted.device).ifindex)
    answer = ask(key, {"do": "reload", "settings": wanted.to_json(), "force": force})
    if answer is None:
        raise BusyError(f"the controller of {wanted.device} does not answer")
    raise_answer(answer)
    return int(answer.get("operations", 0))


def attach_words(wanted: QueueSettings, *, force: bool) -> list[str]:
    """Spell settings as the words of `qos attach`."""
    framing = wanted.framing
    words = ["attach", wanted.device, "--rate", str(wanted.rate_bps), "--flows", str(wanted.flows)]
    if wanted.follow_radio:
        words[3] = "auto"
    words += ["--policy", wanted.policy, "--interval", f"{wanted.interval_ns}ns"]
    words += ["--offloads", wanted.offloads, "--isolate", wanted.isolate, "--classifier", wanted.classifier]
    words += ["--mpu", str(framing.mpu_bytes), "--linklayer", framing.linklayer]
    for name in wanted.gro_off:
        words += ["--gro-off", name]
    for flag, value in (
        ("--overhead", framing.overhead_bytes),
        ("--ingress", wanted.ingress_rate_bps),
        ("--metrics", wanted.metrics),
        ("--weights", wanted.weights or None),
    ):
        if value is not None:
            words += [flag, str(value)]
    if wanted.learn:
        words.append("--learn")
    return [*words, "--force"] if force else words
