"""All runs of a plan, one seed each, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qos.errors import InputError, ValueRefusedError
from qos.plan_simulation.outcome import Delivered, DemandOutcome, PlanOutcome, summarise
from qos.plan_simulation.packets import packet_run, play_packets
from qos.plan_simulation.pairs import PairReplay
from qos.planning import Plan
from qos.simulation.simulation import prepare
from qos.workers import each

MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How a plan is played.

    Attributes
    ----------
    runs
        How many runs, at least 1.
    duration_s
        How long flows send in each, more than 0.
    seed
        Of all of them.
    background
        Greedy flows on each link; None: as many as the plan leaves room for.
    """

    runs: int = 20
    duration_s: float = 5.0
    seed: int = 0
    background: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.runs <= MOST_RUNS:
            raise ValueRefusedError(f"runs must be from 1 to {MOST_RUNS}, not {self.runs!r}")
        if not 0 < self.duration_s <= 3600:
            raise ValueRefusedError(
                f"duration_s must be more than 0 and at most 3600, not {self.duration_s!r}"
            )
        if self.seed < 0:
            raise ValueRefusedError(f"seed must be at least 0, not {self.seed!r}")
        if self.background is not None and not 0 <= self.background <= 100:
            raise ValueRefusedError(f"background must be from 0 to 100, not {self.background!r}")


@dataclass(frozen=True, slots=True)
class _Work:
    plan: Plan
    duration_s: float
    background: int
    seed: int


def _one_run(work: _Work) -> tuple[list[Delivered], list[Delivered], tuple[str, ...]]:
    plan = work.plan
    packets: list[Delivered] = []
    without: tuple[str, ...] = ()
    if plan.flows:
        run = packet_run(plan, work.duration_s, work.background, work.seed)
        packets, without = play_packets(plan, run), run.without_background
    missed = {one.name: min(one.late + one.loss, 1.0) for one in packets}
    return packets, PairReplay(plan).run(work.duration_s, work.seed, missed), without


def simulate_plan(plan: Plan, options: PlayOptions | None = None, *, jobs: int = 1) -> PlanOutcome:
    """Play a plan and compare what it promised with what it delivered.

    Parameters
    ----------
    plan
        With at least one admitted demand.
    options
        How it is played.
    jobs
        What `qos.workers.workers` gave; the result does not depend on it.

    Raises
    ------
    InputError
        If the plan admits nothing, or its protocols are not those of this version.
    """
    chosen = options or PlayOptions()
    if not plan.flows and not plan.entanglement:
        raise InputError("the plan admits no demand, so there is nothing to play")
    PairReplay(plan)
    prepare()
    background = plan.options.background_flows if chosen.background is None else chosen.background
    seeds = np.random.SeedSequence(chosen.seed).generate_state(chosen.runs, np.uint32)
    work = [_Work(plan, chosen.duration_s, background, int(seed)) for seed in seeds]
    found = list(each(_one_run, work, jobs, "playing the plan"))
    demands = [
        _flow_outcome(plan, name, [packets[place] for packets, _, _ in found])
        for place, name in enumerate(plan.flows)
    ]
    rows = () if plan.schedule is None else plan.schedule.tasks
    demands += [
        _pair_outcome(plan, row.name, [pairs[place] for _, pairs, _ in found])
        for place, row in enumerate(rows)
    ]
    return PlanOutcome(chosen.runs, chosen.duration_s, chosen.seed, background, found[0][2], tuple(demands))


def _flow_outcome(plan: Plan, name: str, runs: Sequence[Delivered]) -> DemandOutcome:
    flow = plan.flows[name]
    promised = {
        "rate": flow.rate_bps,
        "delay_s": flow.delay_bound_s,
        "delay_predicted_s": flow.delay_predicted_s,
        "jitter_s": flow.jitter_bound_s,
        "loss": flow.loss_bound,
        "late": flow.violation_probability if flow.delay_bound_s is not None else None,
        "fidelity": None,
    }
    return summarise("flow", promised, runs)


def _pair_outcome(plan: Plan, name: str, runs: Sequence[Delivered]) -> DemandOutcome:
    planned = plan.entanglement[name]
    demand = next(one.demand for one in plan.scenario.entanglement if one.name == name)
    promised = {
        "rate": planned.rate_ebit_per_s * (1.0 if demand.probability is None else demand.probability),
        "delay_s": None,
        "delay_predicted_s": None,
        "jitter_s": None,
        "loss": None if demand.probability is None else 1 - demand.probability,
        "late": None,
        "fidelity": planned.min_fidelity,
    }
    return summarise("entanglement", promised, runs)
