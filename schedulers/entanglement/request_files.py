"""Requests on demand in files: single pairs with deadlines, and how they are served under overload.

::

    policy: {max_attempts: 4, skip_distance: {0: 3}, instance_value: {0: 0.5}}
    requests:
      - {source: "0", destination: "2", min_fidelity: 0.65, arrival_s: 0.1, deadline_s: 1, value: 2}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from qos.demands import EntanglementDemand
from qos.errors import InputError, QosError
from qos.units import is_count
from schedulers.entanglement.balancing import Balancer, utilisation
from schedulers.entanglement.compile import Compiler
from schedulers.entanglement.plain_values import flag, items, load_plain, mapping, node_id, number, whole
from schedulers.entanglement.requests import Policy, Request
from schedulers.entanglement.tasks import Schedule, TaskSet

NEEDED = ("source", "destination", "min_fidelity", "arrival_s", "deadline_s")
KNOWN = (*NEEDED, "value", "probability")
POLICY = ("max_attempts", "defer", "shed", "skip_distance", "instance_value", "search_starts")
MAX_REQUESTS = 100_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Wish:
    """A request before it has a protocol.

    Attributes
    ----------
    source, destination, min_fidelity
        The pair.
    arrival_s, deadline_s
        When it comes, and by when the pair must be there; 0 <= arrival < deadline.
    value
        What it is worth, > 0.
    probability
        That one attempt delivers; None: links are taken as deterministic.
    where
        File and key, for errors.
    """

    source: str
    destination: str
    min_fidelity: float
    arrival_s: float
    deadline_s: float
    value: float
    probability: float | None
    where: str


def _by_task(raw: object, where: str) -> dict[int, float]:
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: expected an object with a number for each demand's position")
    found = {}
    for key, value in raw.items():
        if not is_count(str(key)):
            raise InputError(f"{where}.{key!s:.40}: expected the position of a demand, 0 for the first")
        found[int(key)] = number(value, f"{where}.{key}")
    return found


def _policy(raw: object, where: str) -> Policy:
    values: dict[str, Any] = mapping(raw, where, POLICY)
    for key, value in values.items():
        place = f"{where}.{key}"
        if key in ("max_attempts", "search_starts"):
            values[key] = whole(value, place)
        elif key in ("defer", "shed"):
            values[key] = flag(value, place)
        else:
            values[key] = _by_task(value, place)
    if "skip_distance" in values:
        values["skip_distance"] = {task_id: int(n) for task_id, n in values["skip_distance"].items()}
    try:
        return Policy(**values)
    except QosError as error:
        raise InputError(f"{where}: {error}") from None


def _wish(raw: object, where: str) -> Wish:
    found = mapping(raw, where, KNOWN)
    missing = [key for key in NEEDED if key not in found]
    if missing:
        raise InputError(f"{where}.{missing[0]}: is missing")
    keys = ("min_fidelity", "arrival_s", "deadline_s", "value", "probability")
    numbers = {key: number(found[key], f"{where}.{key}") for key in keys if key in found}
    if not 0 <= numbers["arrival_s"] < numbers["deadline_s"]:
        raise InputError(f"{where}.deadline_s: expected 0 <= arrival_s < deadline_s")
    return Wish(
        node_id(found["source"], f"{where}.source"),
        node_id(found["destination"], f"{where}.destination"),
        numbers["min_fidelity"],
        numbers["arrival_s"],
        numbers["deadline_s"],
        numbers.get("value", 1.0),
        numbers.get("probability"),
        where,
    )


def load_requests(path: str | os.PathLike[str]) -> tuple[tuple[Wish, ...], Policy]:
    """Read requests and the policy from a YAML or JSON file.

    Raises
    ------
    InputError
        If the file cannot be read or is not such a document; names file and key.
    """
    source, raw = os.fspath(path), load_plain(path)
    if isinstance(raw, list):
        raw = {"requests": raw}
    found = mapping(raw, f"{source}: file", ("policy", "requests"))
    listed = items(found.get("requests"), f"{source}: requests", MAX_REQUESTS)
    wishes = tuple(_wish(one, f"{source}: requests[{index}]") for index, one in enumerate(listed))
    return wishes, _policy(found.get("policy", {}), f"{source}: policy")


def requests_of(
    wishes: tuple[Wish, ...], compiler: Compiler, task_set: TaskSet, schedule: Schedule
) -> tuple[Request, ...]:
    """Give every wish a protocol, on the qubits that the schedule uses least.

    Parameters
    ----------
    wishes
        As `load_requests` gives them; a request's id is its position.
    compiler
        Of the network.
    task_set, schedule
        The periodic tasks, on the paths chosen.

    Raises
    ------
    InputError, ValueRefusedError, InfeasibleError
        If a pair cannot be made at all; names file and key.
    """
    balancer = Balancer(compiler.network.qubits, compiler.options.balance)
    balancer.loads.update(utilisation(task for task in task_set.tasks if task.task_id in schedule.starts))
    found = []
    for number_, wish in enumerate(wishes):
        # A rate of one pair in the time from arrival to deadline lets the compiler judge the length.
        rate = 1 / (wish.deadline_s - wish.arrival_s)
        demand = EntanglementDemand(
            wish.source, wish.destination, rate, wish.min_fidelity, probability=wish.probability
        )
        try:
            compiled = compiler.compile_one(demand, task_id=number_)
            request = Request(
                number_,
                balancer.propose(compiled.task),
                ceil(wish.arrival_s / task_set.slot_s * (1 - _ROUNDING)),
                max(1, floor(wish.deadline_s / task_set.slot_s * (1 + _ROUNDING))),
                wish.value,
                compiled.plans[0].sized.probability,
            )
        except QosError as error:
            raise type(error)(f"{wish.where}: {error}") from None
        found.append(request)
    return tuple(found)
