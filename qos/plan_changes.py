"""What differs between two plans, in words and as data."""

from __future__ import annotations

from dataclasses import dataclass

from qos.planning import Plan, PlannedFlow
from qos.units import format_rate


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """What a new plan changes.

    Attributes
    ----------
    admitted, dropped
        Names of demands that the new plan serves and the old one did not, and the other way round.
    moved
        Names of demands on another path.
    retuned
        Names of demands on the same path at another rate.
    settings
        Directions of links, ``link from sender``, whose setting changes.
    """

    admitted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    retuned: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.admitted or self.dropped or self.moved or self.retuned or self.settings)

    def lines(self, old: Plan, new: Plan) -> tuple[str, ...]:
        """Say each change in a line."""
        why = {one.name: one.reason for one in new.rejected}
        found = [f"{name}: admitted" for name in self.admitted]
        found += [f"{name}: dropped; {why.get(name, 'no longer asked for')}" for name in self.dropped]
        for name in self.moved:
            before, after = _path(old, name), _path(new, name)
            found.append(f"{name}: moved from {' - '.join(before)} to {' - '.join(after)}")
        for name in self.retuned:
            found.append(f"{name}: rate {_spelled(old, name)} -> {_spelled(new, name)}")
        return tuple(found)


def _path(plan: Plan, name: str) -> tuple[str, ...]:
    return plan.flows[name].path if name in plan.flows else plan.entanglement[name].path


def _rate(plan: Plan, name: str) -> float:
    return plan.flows[name].rate_bps if name in plan.flows else plan.entanglement[name].rate_ebit_per_s


def _spelled(plan: Plan, name: str) -> str:
    rate = _rate(plan, name)
    return format_rate(round(float(f"{rate:.4g}"))) if name in plan.flows else f"{rate:g} ebit/s"


def diff(old: Plan, new: Plan) -> PlanDiff:
    """Compare two plans.

    Parameters
    ----------
    old, new
        Plans of networks that need not be the same; demands are compared by name.
    """
    before = [*old.flows, *old.entanglement]
    after = [*new.flows, *new.entanglement]
    both = [name for name in after if name in set(before)]
    moved = tuple(name for name in both if _route(old, name) != _route(new, name))
    same = [name for name in both if name not in set(moved)]
    retuned = [name for name in same if abs(_rate(old, name) - _rate(new, name)) > 1e-9 * _rate(old, name)]
    then = {(one.link, one.sender): one for one in old.links}
    now = {(one.link, one.sender): one for one in new.links}
    changed = [
        key for key in sorted({*then, *now}) if key not in then or key not in now or then[key] != now[key]
    ]
    return PlanDiff(
        admitted=tuple(name for name in after if name not in set(before)),
        dropped=tuple(name for name in before if name not in set(after)),
        moved=moved,
        retuned=tuple(retuned),
        settings=tuple(f"{link} from {sender}" for link, sender in changed),
    )


def _route(plan: Plan, name: str) -> tuple[object, ...]:
    flow: PlannedFlow | None = plan.flows.get(name)
    if flow is None:
        return plan.entanglement[name].path
    return (*flow.path, *(hop.link for hop in flow.hops))
