"""`qos adapt`: what wireless links carry, from a topology, a recorded channel or this host's radio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qos.cli.common import CommandSettings, verb
from qos.errors import ValueRefusedError

if TYPE_CHECKING:
    from qos.crosslayer.harq import Combining


@verb(short_help="Choose modes, power and retries of wireless links; try policies on a trace.")
@click.argument("topology", required=False)
@click.option("--link", metavar="A:B", help="Only this link of the topology.")
@click.option("--demand", multiple=True, metavar="DEMAND", help="What the link shall carry (repeatable).")
@click.option(
    "--harq",
    type=click.Choice(("type-1", "chase", "incremental")),
    help="Blocks keep their mode until they arrive, failed attempts are combined so [default: as in 802.11].",
)
@click.option(
    "--path",
    metavar="A:B",
    help="Routes from A to B over several hops, the budget of each hop, and which demands fit together.",
)
@click.option("--dev", metavar="DEV", help="The Wi-Fi interface of this host instead of a topology.")
@click.option(
    "--set-retries",
    is_flag=True,
    help="With --dev: set the stations' retry limits by traffic class in the kernel.",
)
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
    harq: Combining | None,
    path: str | None,
    dev: str | None,
    set_retries: bool,
    **trace_flags: object,
) -> None:
    """Choose transmission modes, power, retries and source rate of wireless links.

    With TOPOLOGY (a name of the library or a file): settings and predicted figures of its wireless
    links; with --path A:B: routes from A to B and the setting of each hop, all demands admitted
    together. With --dev: the same for the stations of this host's Wi-Fi interface.

    With --trace and --bler: every link adaptation policy on a recorded channel, scored side by side
    with what a clairvoyant and a genie get.
    """
    if set_retries and dev is None:
        raise ValueRefusedError("--set-retries goes with --dev: it sets limits in this host's radio")
    if trace_flags["trace"] is not None:
        if topology or link or demand or harq or path or dev:
            raise ValueRefusedError(
                "--trace stands alone; leave TOPOLOGY, --link, --demand, --harq, --path and --dev away"
            )
        from qos.cli.adapt_trace import TraceRequest, adapt_trace

        adapt_trace(settings, TraceRequest.from_flags(trace_flags))
        return
    given = [f"--{name}" for name in ("bler", "decisions") if trace_flags[name]]
    given += [f"--{name}" for name in ("policy", "load", "deadline") if trace_flags[_PLURAL[name]]]
    if given:
        raise ValueRefusedError(f"{', '.join(given)}: only with --trace FILE.npz")
    if topology is None and dev is None:
        raise ValueRefusedError("give a TOPOLOGY, --dev DEV, or --trace FILE.npz with --bler FILE.npz")
    if path is not None:
        if topology is None or link or dev or harq:
            raise ValueRefusedError("--path needs a TOPOLOGY and goes with --demand only")
        from qos.cli.adapt_path import adapt_path

        adapt_path(settings, topology, path, demand)
        return
    from qos.cli.adapt_topology import TopologyRequest, adapt_topology

    adapt_topology(settings, TopologyRequest(topology, link, demand, dev, harq, set_retries))


_PLURAL = {"policy": "policies", "load": "loads", "deadline": "deadlines"}
