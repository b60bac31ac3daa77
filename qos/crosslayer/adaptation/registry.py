"""Policies by the names that users write: ``bayesian``, ``outer-loop:target=0.2,step=0.02``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.bayesian import Bayesian, FilterSize
from qos.crosslayer.adaptation.blind_bayesian import DEFAULT_SIZE as BLIND_SIZE
from qos.crosslayer.adaptation.blind_bayesian import BlindBayesian
from qos.crosslayer.adaptation.bounds import CLAIRVOYANT_TOLD, GENIE_TOLD, clairvoyant, genie
from qos.crosslayer.adaptation.contract import LinkKnowledge, LinkPolicy, knowledge_for
from qos.crosslayer.adaptation.fixed import Fixed
from qos.crosslayer.adaptation.inner_loop import InnerLoop
from qos.crosslayer.adaptation.minstrel import Minstrel
from qos.crosslayer.adaptation.modetable import ModeTable
from qos.crosslayer.adaptation.outer_loop import OuterLoop, PlainOuterLoop
from qos.crosslayer.adaptation.outer_loop_kernel import OuterLoopRule
from qos.crosslayer.adaptation.posterior_table import PosteriorTable
from qos.crosslayer.adaptation.replay import replay
from qos.crosslayer.adaptation.trace import Trace
from qos.errors import ValueRefusedError

Numbers = dict[str, float]
BOUNDS: dict[str, tuple[tuple[str, ...], Callable[[Trace, ModeTable], Modes]]] = {
    "clairvoyant": (CLAIRVOYANT_TOLD, clairvoyant),
    "genie": (GENIE_TOLD, genie),
}
"""The bounds: always computed beside any policy."""


def _whole(numbers: Numbers, key: str, default: int) -> int:
    value = numbers.get(key, default)
    if value != int(value) or value < 0:
        raise ValueRefusedError(f"{key}={value:g}: must be a whole number, at least 0")
    return int(value)


def _size(numbers: Numbers, default: FilterSize) -> FilterSize:
    particles = _whole(numbers, "particles", default.particles)
    if not 16 <= particles <= 16384:
        raise ValueRefusedError(f"particles={particles}: must be 16 to 16384")
    return FilterSize(particles, _whole(numbers, "seed", default.seed), numbers.get("target"))


def _rule(numbers: Numbers, default: OuterLoopRule) -> OuterLoopRule:
    return replace(
        default,
        target=numbers.get("target", default.target),
        step_db=numbers.get("step", default.step_db),
        silent_above=numbers.get("silent_above", default.silent_above),
    )


def _fixed(knowledge: LinkKnowledge, numbers: Numbers) -> LinkPolicy:
    return Fixed(knowledge, _whole(numbers, "mode", 0) if "mode" in numbers else None)


_FILTER = ("particles", "seed", "target")
Maker = Callable[[LinkKnowledge, Numbers], LinkPolicy]
_POLICIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], Maker]] = {
    "bayesian": (Bayesian.told, _FILTER, lambda k, n: Bayesian(k, _size(n, FilterSize()))),
    "blind-bayesian": (
        BlindBayesian.told,
        _FILTER,
        lambda k, n: BlindBayesian(k, _size(n, BLIND_SIZE)),
    ),
    "posterior-table": (PosteriorTable.told, (), lambda k, _: PosteriorTable(k)),
    "inner-loop": (InnerLoop.told, ("target",), lambda k, n: InnerLoop(k, n.get("target", 0.1))),
    "outer-loop": (
        OuterLoop.told,
        ("target", "step", "silent_above"),
        lambda k, n: OuterLoop(k, _rule(n, OuterLoop.DEFAULT)),
    ),
    "plain-outer-loop": (
        PlainOuterLoop.told,
        ("target", "step"),
        lambda k, n: PlainOuterLoop(k, _rule(n, OuterLoopRule())),
    ),
    "minstrel": (Minstrel.told, ("seed",), lambda k, n: Minstrel(k, _whole(n, "seed", 0))),
    "fixed": (Fixed.told, ("mode",), _fixed),
}


def policy_names() -> tuple[str, ...]:
    """Name every policy, the bounds included."""
    return (*BOUNDS, *_POLICIES)


def parse_policy(spelling: str) -> tuple[str, Numbers]:
    """Split ``NAME[:KEY=NUMBER,...]`` into name and numbers.

    Raises
    ------
    ValueRefusedError
        If the name or a key is unknown, or a number is malformed.

    Examples
    --------
    >>> parse_policy("outer-loop:target=0.2,step=0.02")
    ('outer-loop', {'target': 0.2, 'step': 0.02})
    """
    name, _, rest = spelling.partition(":")
    if name not in policy_names():
        near = difflib.get_close_matches(name, policy_names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueRefusedError(f"unknown policy {name!r}; known: {', '.join(policy_names())}{hint}")
    keys = () if name in BOUNDS else _POLICIES[name][1]
    numbers: Numbers = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in keys:
            takes = f"takes {', '.join(keys)}" if keys else "takes no numbers"
            raise ValueRefusedError(f"policy {spelling!r}: no number {key!r}; {name} {takes}")
        try:
            numbers[key] = float(value)
        except ValueError:
            raise ValueRefusedError(f"policy {spelling!r}: {key} needs a number, got {value!r}") from None
    return name, numbers


def make_policy(spelling: str, trace: Trace, table: ModeTable) -> LinkPolicy:
    """Make a policy (no bound) for a trace's users, told what it may be told.

    Raises
    ------
    ValueRefusedError
        If the spelling is none of a policy.
    """
    name, numbers = parse_policy(spelling)
    if name in BOUNDS:
        raise ValueRefusedError(f"{name} is a bound: it decides with the future and cannot run on a link")
    told, _, maker = _POLICIES[name]
    return maker(knowledge_for(told, trace, table), numbers)


def told_by(spelling: str) -> tuple[str, ...]:
    """Return what a policy or bound uses, in words of `contract.TOLD_WORDS`."""
    name, _ = parse_policy(spelling)
    return BOUNDS[name][0] if name in BOUNDS else _POLICIES[name][0]


def decide_all(
    spelling: str, trace: Trace, table: ModeTable, progress: Callable[[int], None] | None = None
) -> Modes:
    """Return the modes of a policy or bound over a whole trace, shape ``(slots, users)``.

    Raises
    ------
    ValueRefusedError
        If the spelling is none of a policy or bound.
    """
    name, _ = parse_policy(spelling)
    if name in BOUNDS:
        return BOUNDS[name][1](trace, table)
    return replay(make_policy(spelling, trace, table), trace, table, progress)
