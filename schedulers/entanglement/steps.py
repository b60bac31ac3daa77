"""The steps of a repeater protocol: a binary tree of links, swaps and distillations.

A step names its nodes by any hashable label: positions on a path while a protocol is searched,
node ids afterwards. Trees are immutable and share equal parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from schedulers.entanglement.tasks import OperationKind

Label = TypeVar("Label", bound=int | str)
Other = TypeVar("Other", bound=int | str)


@dataclass(frozen=True, slots=True)
class Step(Generic[Label]):
    """One link generation, swap or distillation, and the steps whose pairs it uses.

    Attributes
    ----------
    kind
        What is done.
    nodes
        Both ends of a link or a distilled pair; the one node where a swap is measured.
    fidelity
        Fidelity of the Werner pair that it leaves.
    rate_per_s
        Rate at which the pair can be had: of the link, or an estimate, or what the mapping to qubits
        achieved.
    duration_s
        How long the step itself takes.
    depth_s
        Its duration and that of the longest chain of steps before it.
    inputs
        None for a link, otherwise two steps, the slower first.
    """

    kind: OperationKind
    nodes: tuple[Label, ...]
    fidelity: float
    rate_per_s: float
    duration_s: float
    depth_s: float
    inputs: tuple[Step[Label], ...] = ()

    def at_rate(self, rate_per_s: float) -> Step[Label]:
        """Give the same step with another rate."""
        return replace(self, rate_per_s=rate_per_s)


def link_step(nodes: tuple[Label, Label], fidelity: float, rate_per_s: float) -> Step[Label]:
    """Make the generation of an elementary pair, which takes the mean time 1 / rate."""
    duration_s = 1 / rate_per_s
    return Step("link", nodes, fidelity, rate_per_s, duration_s, duration_s)


def join(
    kind: OperationKind,
    nodes: tuple[Label, ...],
    quality: tuple[float, float],
    duration_s: float,
    inputs: tuple[Step[Label], Step[Label]],
) -> Step[Label]:
    """Make a swap or distillation of two pairs.

    Parameters
    ----------
    kind, nodes
        As in `Step`.
    quality
        Fidelity and rate of the result.
    duration_s
        How long the step itself takes.
    inputs
        The two steps, in any order.
    """
    slower, faster = sorted(inputs, key=lambda step: step.rate_per_s)
    depth_s = max(slower.depth_s, faster.depth_s) + duration_s
    return Step(kind, nodes, *quality, duration_s, depth_s, (slower, faster))


def walk(step: Step[Label]) -> Iterator[Step[Label]]:
    """Go through a tree in post-order: inputs before what uses them; shared parts come each time."""
    for before in step.inputs:
        yield from walk(before)
    yield step


def relabel(step: Step[Label], labels: Mapping[Label, Other]) -> Step[Other]:
    """Give a tree with other names for its nodes; equal parts stay shared."""
    done: dict[int, Step[Other]] = {}

    def changed(old: Step[Label]) -> Step[Other]:
        if id(old) not in done:
            done[id(old)] = Step(
                old.kind,
                tuple(labels[node] for node in old.nodes),
                old.fidelity,
                old.rate_per_s,
                old.duration_s,
                old.depth_s,
                tuple(changed(before) for before in old.inputs),
            )
        return done[id(old)]

    return changed(step)
