"""`qos simulate`: run packet flows through queues, on a dumbbell or on a scenario file; play a plan."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import DURATION, RATE, CommandSettings, console, print_json, verb
from qos.cli.preference import PREFERENCE, with_preference
from qos.errors import QosError, ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, is_count, parse_size

if TYPE_CHECKING:
    from qos.simulation.result import Result
    from qos.simulation.scenario import Flow, Scenario
    from qos.simulation.series import Series
    from qos.simulation.simulation import Simulation
    from schedulers.packet.registry import QueueConfiguration

MOST_FLOWS = 100_000
DUMBBELL_ONLY = (
    *("rate", "rtt", "groups", "discipline", "limit", "flow_limit", "recovery", "loss_detection"),
    *("parameters", "policy", "prefer", "alpha", "poll"),
    *("stack", "mss", "initial_cwnd", "hystart", "ecn", "pacing", "delayed_ack", "pcap"),
)
"""Flags that a file says itself."""
OF_TRANSPORT = MappingProxyType(
    {
        "mss": "mss_bytes",
        **{name: name for name in ("initial_cwnd", "recovery", "loss_detection", "hystart", "ecn", "pacing")},
    }
)
"""Flags that change one value of the stack, and the value's name."""


class _Limit(click.ParamType[tuple[str, int]]):
    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Parse `100p` (packets) or a size (bytes)."""
        if isinstance(value, tuple):
            return value
        text = str(value).strip()
        try:
            if text.endswith("p") and text[:-1].isdecimal() and len(text) < 12:
                kind, number = "packets", int(text[:-1])
            else:
                kind, number = "bytes", parse_size(text)
        except QosError as error:
            self.fail(f"{error} (or a number of packets, like 100p)", param, ctx)
        if number < 1:
            self.fail(f"{value!r} is out of range; a limit is at least 1", param, ctx)
        return kind, number


class _FlowGroup(click.ParamType[tuple[str, int]]):
    name = "sender[:count]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Parse `newreno` or `cubic:3`."""
        if isinstance(value, tuple):
            return value
        sender, colon, count = str(value).partition(":")
        if not colon:
            return sender, 1
        if not is_count(count) or not 1 <= int(count) <= MOST_FLOWS:
            self.fail(f"{value!r}: the count must be a whole number from 1 to {MOST_FLOWS}", param, ctx)
        return sender, int(count)


class _Parameter(click.ParamType[tuple[str, str]]):
    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Parse `target=5ms`."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name or not text:
            self.fail(f"{value!r} is no name=value, such as target=5ms", param, ctx)
        return name, text


@verb(short_help="Simulate packet flows through queues.")
@click.argument("scenario", metavar="dumbbell|FILE.yaml|PLAN.json")
@click.option("--rate", type=RATE, default="15mbit", show_default=True, help="Rate of the link.")
@click.option(
    "--rtt", type=DURATION, default="15ms", show_default=True, help="Round-trip time of the empty path."
)
@click.option(
    "--flow",
    "groups",
    type=_FlowGroup(),
    multiple=True,
    help="Sender of a flow, newreno where none is given; SENDER:N for N of them; repeatable.",
)
@click.option("--queue", "discipline", default="fq_codel", show_default=True, help="Queue discipline.")
@click.option("--limit", type=_Limit(), help="Limit of the queue: 100p, 150kb (default: the discipline's).")
@click.option(
    "--set",
    "parameters",
    type=_Parameter(),
    multiple=True,
    help="Another parameter of the queue: target=5ms, burst=150ms, quantum=300; repeatable.",
)
@click.option("--flow-limit", type=_Limit(), help="Limit of each flow's part of a fair queue: 20p, 30kb.")
@click.option(
    "--policy", help="Limit policy that is polled, for a fair queue: lfq, sawtooth, fixed:30kb, ..."
)
@click.option("--prefer", type=PREFERENCE, help="What lfq prefers: latency, balanced or throughput.")
@click.option("--alpha", type=float, help="Price of delay for lfq, 1/s, in place of --prefer.")
@click.option("--poll", type=DURATION, default="20ms", show_default=True, help="Interval of the policy.")
@click.option("--duration", type=DURATION, help="Simulated time.  [default: 5s, or the file's]")
@click.option(
    "--stack",
    default="ns3",
    show_default=True,
    help="Where senders and receivers come from: ns3 (the LFQ paper's) or linux; the flags below change it.",
)
@click.option("--recovery", type=click.Choice(["classic", "prr"]), help="[default: classic; linux: prr]")
@click.option("--loss-detection", type=click.Choice(["sack", "rack"]), help="[default: sack; linux: rack]")
@click.option("--mss", type=int, help="Payload of a segment, in bytes.  [default: 1446; linux: 1448]")
@click.option("--initial-cwnd", type=int, help="First window, in segments.  [default: 1; linux: 10]")
@click.option("--hystart/--no-hystart", default=None, help="HyStart, for cubic.  [default: hystart]")
@click.option("--ecn/--no-ecn", default=None, help="ECN at senders and queue.  [default: no-ecn]")
@click.option("--pacing/--no-pacing", default=None, help="Pace the senders.  [default: no-pacing]")
@click.option(
    "--delayed-ack/--no-delayed-ack", default=None, help="[default: no-delayed-ack; linux: delayed-ack]"
)
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Seed of all draws.  [default: 0]")
@click.option("--pcap", type=click.Path(path_type=Path), help="Replay a capture through the queue.")
@click.option("--interval", type=DURATION, help="Also give a time series with this step.")
@click.option("--out", type=click.Path(path_type=Path), help="Write CSV, NPZ and PNG into this folder.")
@click.option("--runs", type=int, help="Of a plan: how many runs, each with its own seed.  [default: 20]")
@click.option("--background", type=int, help="Of a plan: greedy flows on each link.  [default: the plan's]")
@click.option("--jobs", type=int, default=1, show_default=True, help="Of a plan: processes; -1: one a core.")
def command(settings: CommandSettings, **options: Any) -> None:
    """Simulate packet flows through queues: one bottleneck, or any topology of wired links.

    `dumbbell` is the network of the LFQ paper: two hosts, one link, the queue on the sender's device, and
    bulk flows. A FILE.yaml holds a scenario: a topology with flows and queues (docs/simulate.md). A PLAN.json
    is what `qos plan --out` wrote: it is played, and what it promised stands beside what was delivered.
    """
    if options["scenario"].lower().endswith(".json"):
        _play(settings, options)
        return
    _refuse_given(("runs", "background", "jobs"), "describes how a plan is played")
    plan = _scenario(options)
    simulation, series = _run(plan, options)
    result = simulation.result()
    if options["out"] is not None:
        from qos.simulation.output import write_all

        write_all(options["out"], result, series, simulation)
    if settings.as_json:
        document = result.to_json()
        if series is not None:
            document["series"] = series.to_json()
        print_json(document)
    else:
        _print(settings, result)


def _scenario(options: dict[str, Any]) -> Scenario:
    if options["scenario"] != "dumbbell":
        return _from_file(options)
    from qos.simulation.scenario import dumbbell

    duration_ns = options["duration"] or 5 * NANOSECONDS_PER_SECOND
    return dumbbell(
        _replayed(options["pcap"]) if options["pcap"] else _flows(options),
        rate_bps=options["rate"],
        rtt_s=options["rtt"] / NANOSECONDS_PER_SECOND,
        queue=_queue(options),
        duration_s=duration_ns / NANOSECONDS_PER_SECOND,
        seed=options["seed"] or 0,
    )


def _refuse_given(names: tuple[str, ...], why: str) -> None:
    source = click.get_current_context().get_parameter_source
    for name in names:
        if source(name) == click.core.ParameterSource.COMMANDLINE:
            flag = {"groups": "flow", "discipline": "queue", "parameters": "set"}.get(name, name)
            flag = flag.replace("_", "-")
            raise ValueRefusedError(f"--{flag} {why}")


def _play(settings: CommandSettings, options: dict[str, Any]) -> None:
    _refuse_given(DUMBBELL_ONLY, "describes a dumbbell; a plan says it itself")
    _refuse_given(("interval", "out"), "is for one simulation, not for the runs of a plan")
    from qos.cli.simulate_plan import simulate_plan_file
    from qos.plan_simulation import PlayOptions

    wishes: dict[str, Any] = {"seed": options["seed"] or 0, "background": options["background"]}
    if options["runs"] is not None:
        wishes["runs"] = options["runs"]
    if options["duration"] is not None:
        wishes["duration_s"] = options["duration"] / NANOSECONDS_PER_SECOND
    if options["jobs"] == 0:
        raise ValueRefusedError("--jobs must not be 0; -1 means one process a core")
    simulate_plan_file(settings, options["scenario"], PlayOptions(**wishes), options["jobs"])


def _from_file(options: dict[str, Any]) -> Scenario:
    """Read a scenario file; flags that describe a dumbbell are refused, not ignored."""
    _refuse_given(DUMBBELL_ONLY, "describes a dumbbell; a scenario file says it itself")
    from qos.simulation.files import load_scenario

    plan = load_scenario(options["scenario"])
    if options["seed"] is not None:
        plan = replace(plan, seed=options["seed"])
    if options["duration"] is not None:
        plan = replace(plan, duration_s=options["duration"] / NANOSECONDS_PER_SECOND)
    return plan


def _flows(options: dict[str, Any]) -> tuple[Flow, ...]:
    from qos.simulation.scenario import ConstantRate, Flow, transport_of

    changes = {of: options[name] for name, of in OF_TRANSPORT.items() if options[name] is not None}
    if options["delayed_ack"] is not None:
        changes["ack_every"] = 2 if options["delayed_ack"] else 1
    transport = transport_of(options["stack"], **changes)
    flows: list[Flow] = []
    for sender, count in options["groups"] or (("newreno", 1),):
        if sender == "udp":
            # Unresponsive: together with its like it fills the link.
            application = ConstantRate(max(options["rate"] // count, 1), transport.mss_bytes)
            flows += [Flow(sender, "left", "right", application, transport)] * count
        else:
            flows += [Flow(sender, "left", "right", transport=transport)] * count
    return tuple(flows)


def _replayed(path: Path) -> tuple[Flow, ...]:
    from qos.simulation.captures import replayed_flows

    return replayed_flows(path)


def _queue(options: dict[str, Any]) -> QueueConfiguration:
    from qos.simulation.files import parsed_queue

    parameters: dict[str, object] = {}
    for flag, prefix in (("limit", "limit"), ("flow_limit", "flow_limit")):
        if options[flag] is not None:
            kind, number = options[flag]
            parameters[f"{prefix}_{kind}"] = number
    if options["ecn"]:
        parameters["ecn"] = True
    made = parsed_queue(options["discipline"], {**dict(options["parameters"]), **parameters})
    policy = with_preference(options["policy"] or made.policy, options["prefer"], options["alpha"])
    fair_only = [flag for flag in ("flow_limit", "policy") if options[flag] is not None and made.flows == 1]
    if fair_only:
        flag = fair_only[0].replace("_", "-")
        raise ValueRefusedError(
            f"--{flag} needs a queue with a part for each flow, such as fq, not {made.discipline}"
        )
    if not policy:
        return made
    return replace(made, policy=policy, poll_s=options["poll"] / NANOSECONDS_PER_SECOND)


def _run(plan: Scenario, options: dict[str, Any]) -> tuple[Simulation, Series | None]:
    from qos.simulation.polling import configured_policies, run_polled
    from qos.simulation.simulation import Simulation

    simulation = Simulation(plan)
    policies = configured_policies(simulation)

    def advance(time_s: float) -> None:
        run_polled(simulation, policies, time_s)

    if options["interval"] is None and options["out"] is None:
        advance(plan.duration_s)
        return simulation, None
    from qos.simulation.series import record_series

    step_s = options["interval"] / NANOSECONDS_PER_SECOND if options["interval"] else plan.duration_s / 500
    series = record_series(simulation, step_s, advance)
    return simulation, series


def _bits(rate_bps: float) -> str:
    return "-" if rate_bps != rate_bps else f"{rate_bps / 1e6:.3f}"


def _milliseconds(time_s: float) -> str:
    return "-" if time_s != time_s else f"{time_s * 1e3:.3f}"


def _print(settings: CommandSettings, result: Result) -> None:
    flows = [
        [
            number,
            flow.sender,
            f"{flow.source} -> {flow.target}",
            _bits(flow.goodput_bps),
            flow.retransmissions,
            flow.timeouts,
            flow.drops,
            flow.marks,
            _milliseconds(flow.rtt_mean_s),
            _milliseconds(flow.rtt_p99_s),
        ]
        for number, flow in enumerate(result.flows)
    ]
    head = [">flow", "sender", "path", ">goodput Mbit/s", ">resent", ">timeouts", ">drops", ">marks"]
    _table(settings, [*head, ">RTT ms", ">p99 ms"], flows)
    queues = [
        [
            f"{queue.link} from {queue.node}",
            queue.discipline,
            f"{queue.backlog_mean_packets:.2f}",
            queue.backlog_p99_packets,
            queue.backlog_max_packets,
            _milliseconds(queue.sojourn_mean_s),
            _milliseconds(queue.sojourn_p99_s),
            queue.departures,
            queue.drops,
            queue.marks,
            f"{queue.utilization:.1%}",
        ]
        for queue in result.queues
    ]
    head = ["queue", "discipline", ">mean packets", ">p99", ">max", ">wait ms", ">p99 ms", ">sent"]
    _table(settings, [*head, ">drops", ">marks", ">in use"], queues)
    rate = f", {result.packets / result.cpu_s / 1e6:.1f} million packets/s" if result.cpu_s > 0 else ""
    console(settings).print(
        f"{result.time_s:g} s simulated in {result.cpu_s:.3f} s of CPU time{rate}; "
        f"Jain's index {result.jain:.3f}"
    )


def _table(settings: CommandSettings, columns: list[str], rows: list[list[object]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    out.print(table)
    out.print()
