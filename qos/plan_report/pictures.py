"""The pictures of a plan's report: the network with its load, the schedule, the expected delays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qos.drawing import place
from qos.plan_report.svg import COLOURS, element, picture, text, ticks, title
from qos.planning import EntanglementSchedule, LinkSetting, Plan, PlannedFlow
from qos.units import format_rate
from topologies.model import Link

WIDTH, MARGIN = 900.0, 70.0
_SHAPES = {"quantum-end": "#7f3c8d", "quantum-repeater": "#7f3c8d", "router": "#333333", "switch": "#333333"}
MOST_LABELS = 120
MOST_BARS = 4000
MOST_CURVES = 16
LEAST_SHARE = 1e-6
CURVE_STEPS = 160


def _colour(utilisation: float) -> str:
    """Give green for an empty link over yellow to red for a full one."""
    hue = 120 * (1 - min(max(utilisation, 0.0), 1.0))
    return f"hsl({hue:.0f},75%,42%)"


def network_picture(plan: Plan) -> str:
    """Draw the topology; a link's colour is the load of its busier direction."""
    topology = plan.scenario.topology
    if not topology.nodes:
        return ""
    spots = place(topology)
    xs, ys = ([spot[axis] for spot in spots.values()] for axis in (0, 1))
    wide, high = max(max(xs) - min(xs), 1e-12), max(max(ys) - min(ys), 1e-12)
    height = min(max((WIDTH - 2 * MARGIN) * high / wide, 260.0), 640.0) + 2 * MARGIN
    at = {
        name: (
            MARGIN + (x - min(xs)) / wide * (WIDTH - 2 * MARGIN),
            height - MARGIN - (y - min(ys)) / high * (height - 2 * MARGIN),
        )
        for name, (x, y) in spots.items()
    }
    settings: dict[str, list[LinkSetting]] = {}
    for setting in plan.links:
        settings.setdefault(setting.link, []).append(setting)
    parts = [_line(link, at, settings.get(link.id, [])) for link in topology.links.values()]
    for node in topology.nodes.values():
        x, y = at[node.id]
        words = f"{node.id}: {node.kind}" + (f", {node.label}" if node.label else "")
        colour = _SHAPES.get(node.kind, "#0072b2")
        parts.append(element("circle", title(words), cx=x, cy=y, r=7.0, fill=colour, class_="node"))
        if len(topology.nodes) <= MOST_LABELS:
            parts.append(text(x, y - 11, node.id, text_anchor="middle", class_="label"))
    return picture(WIDTH, height, parts, "the network and the load of its links")


def _line(link: Link, at: dict[str, tuple[float, float]], settings: Sequence[LinkSetting]) -> str:
    (x1, y1), (x2, y2) = at[link.source], at[link.target]
    words = [f"{link.id} ({link.kind})"]
    words += [
        f"{one.sender} to {one.receiver}: {_bits(one.reserved_bps)} of {_bits(one.rate_bps)}, "
        f"load {one.utilisation:.0%}, {len(one.flows)} flows"
        for one in settings
    ]
    colour = "#7f3c8d" if link.kind == "quantum" else "#999999"
    if settings:
        colour = _colour(max(one.utilisation for one in settings))
    dashes = {"wireless": "2 5", "quantum": "9 4"}.get(link.kind, "none")
    return element(
        "line",
        title("\n".join(words)),
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        stroke=colour,
        stroke_width=4,
        stroke_dasharray=dashes,
        stroke_linecap="round",
    )


def schedule_picture(schedule: EntanglementSchedule) -> str:
    """Draw one table of the entanglement schedule: a row a qubit, a colour a demand."""
    qubits = sorted({qubit for task in schedule.tasks for qubit in task.occupancy})
    if not qubits:
        return ""
    left, row, top = 110.0, 20.0, 10.0
    table_s = schedule.hyperperiod_slots * schedule.slot_s
    height = top + row * len(qubits) + 60
    scale = (WIDTH - left - 20) / schedule.hyperperiod_slots
    parts = []
    for number, qubit in enumerate(qubits):
        y = top + row * number
        parts.append(element("line", x1=left, y1=y + row, x2=WIDTH - 20, y2=y + row, class_="grid"))
        parts.append(text(left - 8, y + 14, qubit, text_anchor="end", class_="label"))
    bars = 0
    for number, task in enumerate(schedule.tasks):
        for start in task.starts:
            for qubit, stays in task.occupancy.items():
                for begin, end in stays:
                    bars += 1
                    if bars > MOST_BARS:
                        continue
                    words = f"{task.name} on {qubit}: {_seconds((start + begin) * schedule.slot_s)} to "
                    words += _seconds((start + end) * schedule.slot_s)
                    parts.append(
                        element(
                            "rect",
                            title(words),
                            x=left + (start + begin) * scale,
                            y=top + row * qubits.index(qubit) + 3,
                            width=max((end - begin) * scale, 0.5),
                            height=row - 6,
                            fill=COLOURS[number % len(COLOURS)],
                        )
                    )
    base = top + row * len(qubits)
    for tick in ticks(table_s):
        x = left + tick / schedule.slot_s * scale
        parts.append(text(x, base + 16, _seconds(tick), text_anchor="middle", class_="label"))
    parts += _legend([task.name for task in schedule.tasks], left, base + 34)
    return picture(WIDTH, height, parts, "when each qubit is used")


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        if x > WIDTH - 120:
            parts.append(text(x, y + 10, "...", class_="label"))
            break
        parts.append(element("rect", x=x, y=y, width=12.0, height=12.0, fill=COLOURS[number % len(COLOURS)]))
        parts.append(text(x + 17, y + 10, name, class_="label"))
        x += 35 + 7.5 * len(name)
    return parts


def tail(flow: PlannedFlow, delay_s: float) -> float:
    """Give the expected share of packets that take longer than a delay.

    None is faster than a packet that waits nowhere; beyond it the tail is exponential, as the effective
    capacity has it (Wu and Negi 2003), through the point that the plan predicts.
    """
    least_s = flow.delay_predicted_s - flow.jitter_predicted_s
    if delay_s < least_s:
        return 1.0
    if flow.jitter_predicted_s <= 0:
        return 0.0
    return math.exp(math.log(flow.violation_probability) * (delay_s - least_s) / flow.jitter_predicted_s)


@dataclass(frozen=True, slots=True)
class _Axes:
    """Logarithmic axes: delay across, share of packets down."""

    low_s: float
    high_s: float

    left, top, bottom = 60.0, 15.0, 300.0

    @property
    def decades(self) -> int:
        return round(math.log10(self.high_s / self.low_s))

    def across(self, delay_s: float) -> float:
        share = math.log10(max(delay_s, self.low_s) / self.low_s) / self.decades
        return self.left + share * (WIDTH - self.left - 20)

    def down(self, share: float) -> float:
        return self.top + math.log10(max(share, LEAST_SHARE)) / math.log10(LEAST_SHARE) * (
            self.bottom - self.top
        )

    def grid(self) -> list[str]:
        parts = []
        for power in range(round(-math.log10(LEAST_SHARE)) + 1):
            y = self.down(10.0**-power)
            parts.append(element("line", x1=self.left, y1=y, x2=WIDTH - 20, y2=y, class_="grid"))
            words = "all" if power == 0 else f"{100 * 10.0**-power:g} %"
            parts.append(text(self.left - 6, y + 4, words, text_anchor="end", class_="label"))
        for power in range(self.decades + 1):
            delay_s = self.low_s * 10.0**power
            x = self.across(delay_s)
            parts.append(element("line", x1=x, y1=self.top, x2=x, y2=self.bottom, class_="grid"))
            parts.append(text(x, self.bottom + 16, _seconds(delay_s), text_anchor="middle", class_="label"))
        return parts

    def curve(self, flow: PlannedFlow, colour: str, dashes: str) -> list[str]:
        points = []
        for step in range(CURVE_STEPS + 1):
            delay_s = self.low_s * (self.high_s / self.low_s) ** (step / CURVE_STEPS)
            share = tail(flow, delay_s)
            points.append(f"{self.across(delay_s):.1f},{self.down(share):.1f}")
            if share < LEAST_SHARE:
                break
        line = element(
            "polyline",
            title(f"{flow.name}: {_seconds(flow.delay_predicted_s)} predicted"),
            points=" ".join(points),
            fill="none",
            stroke=colour,
            stroke_width=2,
            stroke_dasharray=dashes,
        )
        if flow.delay_bound_s is None:
            return [line]
        x, y = self.across(flow.delay_bound_s), self.down(flow.violation_probability)
        words = title(f"{flow.name}: bound {_seconds(flow.delay_bound_s)}")
        return [line, element("path", words, d=f"M{x:.1f} {y:.1f} l-5 -9 l10 0 z", fill=colour)]


def delay_picture(plan: Plan) -> str:
    """Draw the expected distribution of the delay of each flow of the users, the tightest first."""
    flows = [flow for flow in plan.flows.values() if not flow.serves]
    flows.sort(key=lambda flow: (flow.delay_bound_s is None, flow.delay_bound_s or 0.0, flow.name))
    flows = flows[:MOST_CURVES]
    if not flows:
        return ""
    least_s = max(min(flow.delay_predicted_s - flow.jitter_predicted_s for flow in flows), 1e-7)
    low_s = 10.0 ** math.floor(math.log10(least_s))
    most_s = max(max(flow.delay_predicted_s * 1.5, flow.delay_bound_s or 0.0) for flow in flows)
    axes = _Axes(low_s, 10.0 ** math.ceil(math.log10(max(most_s, 10 * low_s))))
    parts = axes.grid()
    for number, flow in enumerate(flows):
        colour = COLOURS[number % len(COLOURS)]
        parts += axes.curve(flow, colour, "none" if number < len(COLOURS) else "5 3")
        x, y = axes.left + 280 * (number % 3), axes.bottom + 28 + 18 * (number // 3)
        parts.append(element("rect", x=x, y=y, width=12.0, height=12.0, fill=colour))
        parts.append(text(x + 17, y + 10, flow.name, class_="label"))
    height = axes.bottom + 46 + 18 * math.ceil(len(flows) / 3)
    return picture(WIDTH, height, parts, "share of packets that take longer than a delay")


def _bits(rate_bps: float) -> str:
    return format_rate(int(float(f"{rate_bps:.4g}")))


def _seconds(time_s: float) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if time_s >= unit:
            return f"{time_s / unit:.4g} {name}"
    return f"{time_s * 1e9:.3g} ns" if time_s else "0"
