"""The page itself: figures, pictures and tables of a plan, in one file without anything from outside."""

from __future__ import annotations

import os
from html import escape

from qos import __version__
from qos.plan_report.pictures import delay_picture, network_picture, schedule_picture
from qos.plan_report.svg import table
from qos.plan_simulation.outcome import DemandOutcome, PlanOutcome
from qos.planning import LinkSetting, Plan, PlannedFlow
from qos.units import format_rate
from qos.whole_files import write_whole

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--quiet:#777}
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{margin-top:2.2rem;font-size:1.2rem}
.quiet{color:var(--quiet)}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;width:100%}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th{font-weight:600;border-bottom:2px solid var(--line)}
.figures{display:flex;flex-wrap:wrap;gap:1rem;margin:1.2rem 0;padding:0;list-style:none}
.figures li{border:1px solid var(--line);border-radius:8px;padding:.5rem 1rem}
.figures b{display:block;font-size:1.4rem}
svg{width:100%;height:auto;display:block}
svg text{fill:currentColor;font-size:12px}
.node{stroke:#fff;stroke-width:1.5}.grid{stroke:#8883;stroke-width:1}
@media print{body{margin:0}}
"""


def report_html(plan: Plan, outcome: PlanOutcome | None = None) -> str:
    """Give the page of a plan.

    Parameters
    ----------
    plan
        The plan.
    outcome
        What its simulation delivered; None leaves that out.
    """
    name = plan.scenario.topology.name or "network"
    parts = [
        f"<h1>Plan of {escape(name)}</h1>",
        f'<p class="quiet">{escape(_origin(plan))}</p>',
        _figures(plan, outcome),
        "<h2>Network</h2>",
        '<p class="quiet">Colour of a link: load of its busier direction, green empty, red full. '
        "Dotted: radio. Dashed violet: quantum link. The pointer tells more.</p>",
        network_picture(plan),
        "<h2>Demands</h2>",
        _flows(plan, outcome),
    ]
    if plan.entanglement or plan.schedule is not None:
        parts += ["<h2>Entanglement</h2>", _pairs(plan, outcome)]
    if plan.schedule is not None and plan.schedule.tasks:
        table_s = plan.schedule.hyperperiod_slots * plan.schedule.slot_s
        words = f"One table of {table_s:.4g} s, which repeats ({plan.schedule.status})."
        parts += [f'<p class="quiet">{words}</p>', schedule_picture(plan.schedule)]
    parts += ["<h2>Not admitted</h2>", _rejected(plan)]
    parts += [
        "<h2>Expected delays</h2>",
        '<p class="quiet">Share of packets that take longer than a delay; a triangle marks the bound and the '
        "share that may miss it.</p>",
        delay_picture(plan),
        "<h2>Settings of links</h2>",
        _links(plan),
        "<h2>Settings of radios</h2>",
        _radios(plan),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>Plan of {escape(name)}</title>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def write_report(plan: Plan, path: str | os.PathLike[str], outcome: PlanOutcome | None = None) -> None:
    """Write the page of a plan; the file appears whole or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    write_whole(path, report_html(plan, outcome))


def _origin(plan: Plan) -> str:
    source = plan.scenario.source or "a program"
    return (
        f"Topology from {source}, version {plan.scenario.digest}; planned in {plan.seconds:.2f} s "
        f"by qos-engine {__version__}."
    )


def _figures(plan: Plan, outcome: PlanOutcome | None) -> str:
    asked = len(plan.scenario.flows)
    admitted = sum(not flow.serves for flow in plan.flows.values())
    busiest = max((link.utilisation for link in plan.links), default=0.0)
    figures = [
        (f"{admitted} of {asked}", "flows admitted"),
        (f"{len(plan.entanglement)} of {len(plan.scenario.entanglement)}", "demands for pairs admitted"),
        (f"{busiest:.0%}", "load of the fullest link"),
        (f"{plan.search.gap:.1%}", "at most missing to the best admission"),
    ]
    if outcome is not None:
        figures.append((f"{outcome.kept_share:.2%}", f"promises kept in {outcome.runs} simulated runs"))
    return '<ul class="figures">' + "".join(f"<li><b>{a}</b>{b}</li>" for a, b in figures) + "</ul>"


def _by_name(outcome: PlanOutcome | None) -> dict[str, DemandOutcome]:
    return {} if outcome is None else {one.name: one for one in outcome.demands}


def _flows(plan: Plan, outcome: PlanOutcome | None) -> str:
    found = _by_name(outcome)
    columns = ["flow", "profile", "path", ">rate", ">delay bound", ">predicted", ">loss bound", ">predicted"]
    columns += [">worst delay", ">lost", ">kept"] if outcome else []
    rows = []
    for flow in plan.flows.values():
        row = [flow.name, flow.profile, " › ".join(flow.path), _bits(flow.rate_bps)]
        row += [_ms(flow.delay_bound_s), _ms(flow.delay_predicted_s)]
        row += [f"{flow.loss_bound:.1e}", f"{flow.loss_predicted:.1e}"]
        if outcome:
            row += _delivered(found.get(flow.name))
        rows.append((*row, _note(flow)))
    return table([*columns, "why"], rows)


def _note(flow: PlannedFlow) -> str:
    backup = f"; backup {' › '.join(flow.backup)}" if flow.backup else ""
    return flow.reason + backup


def _delivered(one: DemandOutcome | None) -> list[str]:
    if one is None:
        return ["-", "-", "-"]
    lost = one.delivered["loss"]
    return [
        _ms(one.delivered["delay_s"]),
        "-" if lost is None else f"{lost:.1e}",
        f"{one.kept}/{one.runs}",
    ]


def _pairs(plan: Plan, outcome: PlanOutcome | None) -> str:
    found = _by_name(outcome)
    columns = ["demand", "path", ">pairs/s", ">fidelity", ">control"]
    columns += [">delivered/s", ">fidelity", ">kept"] if outcome else []
    rows = []
    for one in plan.entanglement.values():
        row = [one.name, " › ".join(one.path), f"{one.rate_ebit_per_s:.4g}", f"{one.min_fidelity:.4g}"]
        row.append(_ms(one.control_delay_s))
        if outcome:
            seen = found.get(one.name)
            fidelity = None if seen is None else seen.delivered["fidelity"]
            rate = None if seen is None else seen.delivered["rate"]
            row += ["-" if rate is None else f"{rate:.3g}", "-" if fidelity is None else f"{fidelity:.3f}"]
            row.append("-" if seen is None else f"{seen.kept}/{seen.runs}")
        rows.append((*row, one.reason))
    return table([*columns, "why"], rows)


def _rejected(plan: Plan) -> str:
    if not plan.rejected:
        return "<p>Everything that was asked for is admitted.</p>"
    rows = [
        (
            one.name,
            f"{one.source} › {one.destination}",
            one.reason,
            one.smallest_change.text if one.smallest_change else "none of one figure was found",
        )
        for one in plan.rejected
    ]
    return table(["demand", "from and to", "why not", "smallest change that admits it"], rows)


def _links(plan: Plan) -> str:
    columns = ["link", "from", "interface", ">rate", ">fair queue", "policy", ">reserved", ">load", ">wait"]
    rows = [
        (
            link.link,
            link.sender,
            link.interface or "-",
            _bits(link.rate_bps),
            _bits(link.fair_queue_rate_bps),
            _policy(link),
            _bits(link.reserved_bps),
            f"{link.utilisation:.1%}",
            _ms(link.wait_s),
            ", ".join(link.flows),
        )
        for link in plan.links
    ]
    return table([*columns, "flows"], rows)


def _policy(link: LinkSetting) -> str:
    return f"{link.policy}:{link.preference}" if link.policy == "lfq" and link.preference else link.policy


def _radios(plan: Plan) -> str:
    rows = [
        (
            link.link,
            link.sender,
            each.access_category,
            each.mode_table,
            ", ".join(f"{level:.1f}" for level in each.thresholds_db),
            str(each.retransmissions),
            f"{each.power_dbm:g} dBm",
            ", ".join(each.flows),
        )
        for link in plan.links
        for each in link.classes
    ]
    if not rows:
        return "<p>No radio carries a planned flow.</p>"
    columns = ["link", "from", "class", "modes", "mode thresholds, dB", ">retries", ">power", "flows"]
    return table(columns, rows)


def _bits(rate_bps: float) -> str:
    return format_rate(int(float(f"{rate_bps:.4g}")))


def _ms(time_s: float | None) -> str:
    return "-" if time_s is None else f"{time_s * 1e3:.4g} ms"
