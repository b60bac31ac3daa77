"""`qos adapt`: what wireless links carry, from a topology, a recorded channel or this host's radio."""

from __future__ import annotations

import importlib

import click

from qos.cli.common import CommandSettings, verb
from qos.errors import ValueRefusedError


@verb(short_help="Choose modes, power and retries of wireless links; try policies on a trace.")
@click.argument("topology", required=False)
@click.option("--link", metavar="A:B", help="Only this link of the topology.")
@click.option("--demand", multiple=True, metavar="DEMAND", help="What the link shall carry (repeatable).")
@click.option("--dev", metavar="DEV", help="The Wi-Fi interface of this host instead of a topology.")
@click.option("--trace", metavar="FILE.npz", help="Try policies on this recorded channel.")
@click.option("--bler", metavar="FILE.npz", help="Modes and block error rates for --trace.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME|all",
    help="Policy to try, NAME or NAME:KEY=NUMBER,...; repeatable [default: all].",
)
@click.option("--load", "loads", multiple=True, type=float, metavar="SHARE", help="Load of a traffic case.")
@click.option(
    "--deadline",
    "deadlines",
    multiple=True,
    type=int,
    metavar="SLOTS",
    help="Deadline of a traffic case; the n-th goes with the n-th --load.",
)
@click.option("--decisions", metavar="FILE.npz", help="Write each policy's modes, int8 (slots, users).")
def command(
    settings: CommandSettings,
    topology: str | None,
    link: str | None,
    demand: tuple[str, ...],
    dev: str | None,
    **trace_flags: object,
) -> None:
    """Choose transmission modes, power, retries and source rate of wireless links.

    With TOPOLOGY (a name of the library or a file): settings and predicted figures of its wireless
    links. With --dev: the same for the stations of this host's Wi-Fi interface.

    With --trace and --bler: every link adaptation policy on a recorded channel, scored side by side
    with what a clairvoyant and a genie get.
    """
    if trace_flags["trace"] is not None:
        if topology or link or demand or dev:
            raise ValueRefusedError("--trace stands alone; leave TOPOLOGY, --link, --demand and --dev away")
        from qos.cli.adapt_trace import TraceRequest, adapt_trace

        adapt_trace(settings, TraceRequest.from_flags(trace_flags))
        return
    given = [f"--{name}" for name in ("bler", "decisions") if trace_flags[name]]
    given += [f"--{name}" for name in ("policy", "load", "deadline") if trace_flags[_PLURAL[name]]]
    if given:
        raise ValueRefusedError(f"{', '.join(given)}: only with --trace FILE.npz")
    if topology is None and dev is None:
        raise ValueRefusedError("give a TOPOLOGY, --dev DEV, or --trace FILE.npz with --bler FILE.npz")
    try:
        topology_mode = importlib.import_module("qos.cli.adapt_topology")
    except ModuleNotFoundError as missing:
        if missing.name != "qos.cli.adapt_topology":
            raise
        raise ValueRefusedError("this version adapts recorded channels only; give --trace FILE.npz") from None
    topology_mode.adapt_topology(settings, topology, link, demand, dev)


_PLURAL = {"policy": "policies", "load": "loads", "deadline": "deadlines"}
