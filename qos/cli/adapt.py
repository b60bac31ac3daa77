"""`qos adapt`: what wireless links carry, from a topology, a recorded channel or this host's radio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from qos.cli.common import CommandSettings, verb
from qos.errors import ValueRefusedError


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
    "--radio",
    metavar="KEY=VALUE,...",
    help="What the topology does not say: noise_figure_db, tx_gain_dbi, rx_gain_dbi, path_loss, "
    "shadowing_db, coverage, rain_mm_per_h, unavailable.",
)
@click.option(
    "--interference", is_flag=True, help="Count links on the same channel as always on, in the SNR."
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
def command(settings: CommandSettings, **flags: Any) -> None:
    """Choose transmission modes, power, retries and source rate of wireless links.

    With TOPOLOGY (a name of the library or a file): settings and predicted figures of its wireless
    links; with --path A:B: routes from A to B and the setting of each hop, all demands admitted
    together. With --dev: the same for the stations of this host's Wi-Fi interface.

    With --trace and --bler: every link adaptation policy on a recorded channel, scored side by side
    with what a clairvoyant and a genie get.
    """
    way = _way(flags)
    if way == "--trace":
        from qos.cli.adapt_trace import TraceRequest, adapt_trace

        adapt_trace(settings, TraceRequest.from_flags(flags))
    elif way == "--path":
        from qos.cli.adapt_path import adapt_path

        adapt_path(settings, flags["topology"], flags["path"], flags["demand"])
    else:
        from qos.cli.adapt_topology import TopologyRequest, adapt_topology

        request = TopologyRequest(
            topology_path=flags["topology"],
            link=flags["link"],
            demands=flags["demand"],
            dev=flags["dev"],
            harq=flags["harq"],
            set_retries=flags["set_retries"],
            radio=flags["radio"],
            interference=flags["interference"],
        )
        adapt_topology(settings, request)


_GOES_WITH: dict[str, tuple[str, ...]] = {
    "demand": ("TOPOLOGY", "--path", "--dev"),
    "path": ("--path",),
    **dict.fromkeys(("link", "harq", "radio", "interference"), ("TOPOLOGY",)),
    "set_retries": ("--dev",),
    **dict.fromkeys(("bler", "policies", "loads", "deadlines", "decisions"), ("--trace",)),
}
"""The uses of the verb that a flag goes with; TOPOLOGY, --dev and --trace choose the use."""
_SPELLED = {"policies": "policy", "loads": "load", "deadlines": "deadline", "set_retries": "set-retries"}


def _way(flags: Mapping[str, Any]) -> str:
    """Tell which use of the verb is meant, refusing flags of another one."""
    ways = {"topology": "TOPOLOGY", "dev": "--dev", "trace": "--trace"}
    chosen = [way for name, way in ways.items() if flags[name]]
    if len(chosen) > 1:
        raise ValueRefusedError(f"{' and '.join(chosen)}: each stands alone; give one of them")
    way = chosen[0] if chosen else ""
    if way == "TOPOLOGY" and flags["path"]:
        way = "--path"
    for name, uses in _GOES_WITH.items():
        if flags[name] and way not in uses:
            word = _SPELLED.get(name, name)
            needs = "with a TOPOLOGY" if name == "path" else f"only with {' or '.join(uses)}"
            raise ValueRefusedError(f"--{word}: {needs}" + (f", not with {way}" if way else ""))
    if not way:
        raise ValueRefusedError("give a TOPOLOGY, --dev DEV, or --trace FILE.npz with --bler FILE.npz")
    return way
