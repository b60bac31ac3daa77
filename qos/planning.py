"""What is asked of a network and what is decided about it: scenarios and plans, as immutable data.

A `Scenario` is a topology with demands; `qos.engine.plan` makes a `Plan` of it. `qos.plan_files` reads and
writes plans, `qos.plan_changes` compares two of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from qos.demands import EntanglementDemand, FlowDemand
from qos.errors import ValueRefusedError
from topologies.model import Topology

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What holds for a whole plan.

    Attributes
    ----------
    usable
        Share of a channel that may be reserved, more than 0, at most 1.
    weight
        What the admitted demands are counted by: ``priority`` (8 minus the priority of each) or ``count``.
    policy
        Limit policy of the fair queues, as `qos attach --policy` spells it.
    isolate
        What the fair queues keep apart, as `qos attach --isolate` spells it.
    background_flows
        Greedy flows outside of the plan that every link's delays leave room for, at least 0.
    routes
        Candidate paths a demand, at least 1.
    time_limit_s
        Wall-clock time of the search for a better admission, more than 0; None: a second, and one more for
        each hundred demands.
    explain
        Look for the smallest changes that would admit what is rejected.
    """

    usable: float = 0.9
    weight: str = "priority"
    policy: str = "lfq"
    isolate: str = "flow"
    background_flows: int = 1
    routes: int = 6
    time_limit_s: float | None = None
    explain: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.usable <= 1:
            raise ValueRefusedError(f"usable must be more than 0 and at most 1, not {self.usable!r}")
        if self.weight not in ("priority", "count"):
            raise ValueRefusedError(f"weight must be priority or count, not {self.weight!r}")
        if self.background_flows < 0 or self.routes < 1:
            raise ValueRefusedError("background_flows must be at least 0, routes at least 1")
        if self.time_limit_s is not None and not 0 < self.time_limit_s < 1e6:
            raise ValueRefusedError(
                f"time_limit_s must be more than 0 and below 1e6, not {self.time_limit_s!r}"
            )

    def search_s(self, demands: int) -> float:
        """Time of the search for a number of demands."""
        return 1 + demands / 100 if self.time_limit_s is None else self.time_limit_s


@dataclass(frozen=True)
class EntanglementRequest:
    """Entangled pairs that are asked for.

    Attributes
    ----------
    name
        Unique among the demands for entanglement.
    demand
        Ends, rate, fidelity.
    pairs, window_s
        Pairs of a packet each period, and the time within which they are made (None: the period).
    """

    name: str
    demand: EntanglementDemand
    pairs: int = 1
    window_s: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A network and what is asked of it.

    Attributes
    ----------
    topology
        What exists.
    flows
        Demands for packets, each with a name of its own.
    entanglement
        Demands for entangled pairs, each with a name of its own.
    seed
        Of every random choice.
    source
        Where it was read from, for people.
    """

    topology: Topology
    flows: tuple[FlowDemand, ...] = ()
    entanglement: tuple[EntanglementRequest, ...] = ()
    seed: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "flows", tuple(self.flows))
        object.__setattr__(self, "entanglement", tuple(self.entanglement))
        names = [one.name for one in self.flows] + [one.name for one in self.entanglement]
        if "" in names:
            raise ValueRefusedError("each demand of a scenario needs a name; see qos.scenarios.scenario")
        if len(set(names)) < len(names):
            double = next(name for place, name in enumerate(names) if name in names[:place])
            raise ValueRefusedError(f"the name {double!r} is given to two demands; give each its own")

    @cached_property
    def digest(self) -> str:
        """Version of the topology: the same digits for the same network, whatever its file looks like."""
        return topology_digest(self.topology)


def topology_digest(topology: Topology) -> str:
    """Give 16 hexadecimal digits that tell one topology from another (SHA-256 of its document)."""
    from topologies.document import describe

    document = describe(topology)
    for key in ("nodes", "links"):
        document[key] = sorted(document[key], key=lambda entry: str(entry["id"]))
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class HopBudget:
    """What one hop of a path may take of a flow's delay and loss.

    Attributes
    ----------
    link, sender
        The hop: a link and the node that sends on it.
    delay_s
        Largest delay that the hop may add, with the path's violation probability.
    loss
        Share of packets that the hop may lose.
    retransmissions
        Limit of the radio; None on a wire.
    """

    link: str
    sender: str
    delay_s: float
    loss: float
    retransmissions: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedFlow:
    """A packet flow that is admitted, and what it is promised.

    Attributes
    ----------
    name
        Of the demand.
    source, destination
        Ids of nodes.
    path
        Node ids from source to destination.
    rate_bps
        Rate granted; the source holds the flow to it.
    delay_bound_s
        One-way delay that was asked for and is promised; None: none.
    delay_predicted_s
        One-way delay that all but `violation_probability` of the packets stay within, at most the bound.
    jitter_bound_s, jitter_predicted_s
        The same of the delay variation.
    loss_bound, loss_predicted
        Share of packets that may be lost, and are.
    violation_probability
        Share of packets that may miss the delay bound.
    hops
        The budgets split over the path.
    reason
        Why it was admitted, and how.
    backup
        Node ids of a path kept for the failure of the first, or None.
    serves
        Name of the entanglement demand whose control messages these are; empty for a user's demand.
    profile, dscp, access_category, packet_bytes, priority
        Of the demand.
    """

    name: str
    source: str
    destination: str
    path: tuple[str, ...]
    rate_bps: float
    delay_bound_s: float | None
    delay_predicted_s: float
    jitter_bound_s: float | None
    jitter_predicted_s: float
    loss_bound: float
    loss_predicted: float
    violation_probability: float
    hops: tuple[HopBudget, ...]
    reason: str
    backup: tuple[str, ...] | None = None
    serves: str = ""
    profile: str = ""
    dscp: str = "DF"
    access_category: str = "BE"
    packet_bytes: int = 1500
    priority: int = 4


@dataclass(frozen=True, slots=True)
class PlannedEntanglement:
    """A demand for entangled pairs that is admitted.

    Attributes
    ----------
    name
        Of the demand.
    source, destination, path
        Ids of nodes.
    rate_ebit_per_s
        Pairs a second that the schedule gives.
    min_fidelity
        Of each delivered pair.
    task_id
        Its row in the schedule.
    control
        Names of the flows that carry its control messages.
    control_delay_s
        Largest predicted delay among them; None where the topology says nothing of the control.
    reason
        Why it was admitted.
    """

    name: str
    source: str
    destination: str
    path: tuple[str, ...]
    rate_ebit_per_s: float
    min_fidelity: float
    task_id: int
    control: tuple[str, ...]
    control_delay_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class ClassSetting:
    """How a radio sends the packets of one class.

    Attributes
    ----------
    access_category
        Wi-Fi access category.
    flows
        Names of the flows of the class.
    mode_table
        Name of the table of modes.
    thresholds_db
        SNR from which each mode of the table is used, dB.
    retransmissions
        Largest number of retransmissions.
    power_dbm
        Transmit power.
    """

    access_category: str
    flows: tuple[str, ...]
    mode_table: str
    thresholds_db: tuple[float, ...]
    retransmissions: int
    power_dbm: float


@dataclass(frozen=True, slots=True)
class LinkSetting:
    """The setting of one direction of a link.

    Attributes
    ----------
    link, sender, receiver, kind
        The direction; the kind is ``wired`` or ``wireless``.
    interface
        Name of the sender's interface, empty where the topology does not know it.
    rate_bps
        Rate of the wire, or mean rate of the radio.
    usable_bps
        Part of it that may be promised.
    reserved_bps
        Sum of the rates of the planned flows.
    fair_queue_rate_bps
        Rate that the fair queue shapes to: a little below the wire's, so that packets wait in the queue.
    policy, preference, isolate
        Limit policy of the queue, what it prefers (``latency``, ``balanced``, ``throughput``), what it keeps
        apart.
    flows
        Names of the planned flows that use it.
    utilisation
        Share of the channel that is reserved, 0 to 1; of a radio with the air that others use.
    wait_s
        Longest predicted wait for the other flows' packets: one round of the queue.
    unplanned_flows
        How many greedy flows outside of the plan the link bears before the fair share falls below the largest
        planned rate; None: any number.
    channel
        Channels that a radio shares with other links, by name.
    classes
        Settings of the radio; empty on a wire.
    """

    link: str
    sender: str
    receiver: str
    kind: str
    interface: str
    rate_bps: float
    usable_bps: float
    reserved_bps: float
    fair_queue_rate_bps: int
    policy: str
    preference: str
    isolate: str
    flows: tuple[str, ...]
    utilisation: float
    wait_s: float
    unplanned_flows: int | None = None
    channel: tuple[str, ...] = ()
    classes: tuple[ClassSetting, ...] = ()


@dataclass(frozen=True, slots=True)
class DemandChange:
    """A change of one figure that would admit a demand beside those that are.

    Attributes
    ----------
    field
        Of the demand (``rate_bps``, ``delay_bound_s``, ``loss``, ``jitter_s``, ``rate_ebit_per_s``,
        ``min_fidelity``, ``max_jitter_s``), several of them joined by ``+`` that change by one factor, or
        ``guard_time_s`` of the topology's section quantum.
    asked, enough
        What was asked, and the nearest value that fits (None: no bound); of several figures 1 and the factor.
    text
        The change in words.
    """

    field: str
    asked: float | None
    enough: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A demand that is not admitted.

    Attributes
    ----------
    name
        Of the demand.
    kind
        ``flow`` or ``entanglement``.
    source, destination
        Ids of nodes.
    reason
        Why, with the figure.
    smallest_change
        The smallest change that admits it, tried out; None: none of one figure was found.
    other_changes
        Others that do, the smaller first.
    """

    name: str
    kind: str
    source: str
    destination: str
    reason: str
    smallest_change: DemandChange | None = None
    other_changes: tuple[DemandChange, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One row of the entanglement schedule.

    Attributes
    ----------
    task_id, name
        Of the task; the name is that of the demand.
    period_slots, exec_slots
        Period, and length of one run.
    starts
        Start slots in one hyperperiod.
    occupancy
        Qubits that are held, each with ``[begin, end)`` counted from a start.
    """

    task_id: int
    name: str
    period_slots: int
    exec_slots: int
    starts: tuple[int, ...]
    occupancy: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class EntanglementSchedule:
    """When every repeater protocol runs.

    Attributes
    ----------
    slot_s
        Length of a slot.
    hyperperiod_slots
        Length of the table, which repeats for ever.
    status
        Of the search: ``optimal``, ``feasible``, ``heuristic``.
    rate_ebit_per_s, bound_ebit_per_s
        What the table gives, and the proven bound on it (None: unknown).
    guard_time_s, controller
        Slack between announcement and first slot, and who announces; None and empty where unknown.
    tasks
        One row a demand.
    """

    slot_s: float
    hyperperiod_slots: int
    status: str
    rate_ebit_per_s: float
    bound_ebit_per_s: float | None
    guard_time_s: float | None
    controller: str
    tasks: tuple[TaskRow, ...]


@dataclass(frozen=True, slots=True)
class SearchReport:
    """How well the admission of the packet flows was searched.

    Attributes
    ----------
    status
        ``optimal`` or ``feasible``.
    value, bound
        Weight of the admitted demands, and the most that any admission on any paths can reach.
    method
        What found it: ``greedy``, ``relaxation`` or ``cpsat``.
    """

    status: str
    value: float
    bound: float
    method: str

    @property
    def gap(self) -> float:
        """What may be missing, as a share of the bound."""
        return max(0.0, 1 - self.value / self.bound) if self.bound > 0 else 0.0


@dataclass(frozen=True)
class Plan:
    """What was decided about a scenario.

    Attributes
    ----------
    scenario
        What was asked.
    options
        What held for the whole.
    flows
        Admitted packet flows by name, in the order of the demands; control messages last.
    entanglement
        Admitted entanglement by name.
    links
        Settings of each direction that carries a flow or could.
    schedule
        Of the entanglement; None where none is asked for.
    rejected
        What was not admitted.
    search
        How well it was searched.
    seconds
        Wall-clock time of the planning.
    """

    scenario: Scenario
    options: PlanOptions
    flows: Mapping[str, PlannedFlow]
    entanglement: Mapping[str, PlannedEntanglement]
    links: tuple[LinkSetting, ...]
    schedule: EntanglementSchedule | None
    rejected: tuple[Rejection, ...]
    search: SearchReport
    seconds: float = field(compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "flows", MappingProxyType(dict(self.flows)))
        object.__setattr__(self, "entanglement", MappingProxyType(dict(self.entanglement)))
        object.__setattr__(self, "links", tuple(self.links))
        object.__setattr__(self, "rejected", tuple(self.rejected))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content; a read-only mapping cannot be pickled itself."""
        found = (self.scenario, self.options, dict(self.flows), dict(self.entanglement), self.links)
        return Plan, (*found, self.schedule, self.rejected, self.search, self.seconds)

    def link(self, link: str, sender: str) -> LinkSetting:
        """Give the setting of one direction of a link.

        Raises
        ------
        ValueRefusedError
            If the plan has none.
        """
        for one in self.links:
            if (one.link, one.sender) == (link, sender):
                return one
        raise ValueRefusedError(f"the plan has no setting of link {link!r} from {sender!r}")

    def to_json(self) -> dict[str, Any]:
        """Give the document that `qos.plan_files.plan_from_json` reads back."""
        from qos.plan_files import plan_to_json

        return plan_to_json(self)
