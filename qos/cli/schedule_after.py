"""What `qos schedule` does with a schedule: replay it, break something, serve requests, hand it to nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qos.cli.schedule_output import add_row, say, show, starts_of, table

if TYPE_CHECKING:
    from qos.cli.common import CommandSettings
    from qos.cli.schedule_input import Case, Request
    from schedulers.entanglement.execution import Estimate, Execution
    from schedulers.entanglement.repair import Repair
    from schedulers.entanglement.requests import Service
    from schedulers.entanglement.tasks import Schedule, TaskSet


def replay(case: Case, plain: TaskSet, schedule: Schedule, rounds: int, seed: int) -> Execution:
    """Replay a schedule on links that succeed by chance."""
    from schedulers.entanglement.execution import Conditions, execute
    from schedulers.entanglement.link_conditions import conditions_of

    conditions = Conditions()
    if case.compiled is not None and case.compiler is not None:
        physics = case.compiler.options.physics
        conditions = conditions_of(case.compiled.demands, physics, schedule.chosen)
    return execute(plain, schedule, conditions, rounds, seed)


def _estimate(found: Estimate | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    finite = (value if abs(value) < float("inf") else None for value in (found.low, found.high))
    low, high = finite
    return {"mean": found.mean, "low": low, "high": high}


def replay_document(found: Execution) -> dict[str, Any]:
    """Write a replay down for programs."""
    return {
        "rounds": found.rounds,
        "promised_ebit_per_s": found.promised_ebit_per_s,
        "delivered_ebit_per_s": _estimate(found.delivered_ebit_per_s),
        "tasks": [
            {
                "id": one.task_id,
                "promised_ebit_per_s": one.promised_ebit_per_s,
                "delivered_ebit_per_s": _estimate(one.delivered_ebit_per_s),
                "completion": _estimate(one.completion),
                "min_fidelity": one.min_fidelity,
                "fidelity": _estimate(one.fidelity),
                "interval_jitter_s2": one.interval_jitter_s2,
                "instances": one.instances,
            }
            for one in found.tasks
        ],
    }


def _interval(found: Estimate | None, digits: int) -> str:
    if found is None:
        return "none"
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def print_replay(settings: CommandSettings, found: Execution) -> None:
    """Show what was delivered beside what was promised."""
    made = table(
        "id", ">promised ebit/s", ">delivered [95 %]", ">complete periods [95 %]", ">asked fidelity",
        ">delivered fidelity [95 %]", ">jitter s^2",
    )  # fmt: skip
    for one in found.tasks:
        add_row(
            made,
            [
                str(one.task_id),
                f"{one.promised_ebit_per_s:.4g}",
                _interval(one.delivered_ebit_per_s, 3),
                _interval(one.completion, 3),
                f"{one.min_fidelity:g}",
                _interval(one.fidelity, 4),
                f"{one.interval_jitter_s2:.3g}",
            ],
        )
    say(settings, "")
    show(settings, made)
    say(
        settings,
        f"replay of {found.rounds} tables: {_interval(found.delivered_ebit_per_s, 3)} of "
        f"{found.promised_ebit_per_s:.3f} ebit/s delivered",
    )


def break_and_repair(case: Case, plain: TaskSet, schedule: Schedule, words: tuple[str, ...]) -> Repair:
    """Let something fail and repair the schedule."""
    from schedulers.entanglement.rerouting import failure_of, reroute

    compiler = case.compiler
    topology = compiler.network.topology if compiler is not None else None
    failure = failure_of(words, case.task_set, topology)
    return reroute(
        plain,
        schedule,
        failure,
        case.compiled.demands if case.compiled is not None else (),
        topology,
        compiler.options if compiler is not None else None,
    )


def repair_document(found: Repair, words: tuple[str, ...]) -> dict[str, Any]:
    """Write a repair down for programs."""
    from schedulers.entanglement.metrics import measure

    return {
        "failed": list(words),
        "kept": list(found.kept),
        "rerouted": list(found.restored),
        "dropped": list(found.dropped),
        "added": list(found.added),
        "moved": [
            {"id": one.task_id, "instance": one.instance, "from": one.old_start, "to": one.new_start}
            for one in found.moved
        ],
        "starts": starts_of(found.schedule),
        "throughput_ebit_per_s": measure(found.task_set, found.schedule).throughput_ebit_per_s,
    }


def print_repair(settings: CommandSettings, found: Repair, words: tuple[str, ...]) -> None:
    """Say what a failure cost and what was moved."""
    from schedulers.entanglement.metrics import measure

    throughput = measure(found.task_set, found.schedule).throughput_ebit_per_s
    say(settings, f"\nafter the failure of {', '.join(words)}: {throughput:.3f} ebit/s")
    for what, ids in (
        ("not touched", found.kept),
        ("on another path", found.restored),
        ("lost", found.dropped),
        ("let in", found.added),
    ):
        say(settings, f"  {what}: {', '.join(map(str, ids)) or 'none'}")
    moved = {one.task_id for one in found.moved}
    say(settings, f"  instances moved: {len(found.moved)}" + (f", of {len(moved)} tasks" if moved else ""))


def serve_requests(case: Case, plain: TaskSet, schedule: Schedule, path: str, seed: int) -> Service:
    """Serve requests on demand beside the schedule."""
    from schedulers.entanglement.request_files import load_requests, requests_of
    from schedulers.entanglement.requests import serve

    assert case.compiler is not None
    wishes, policy = load_requests(path)
    return serve(plain, schedule, requests_of(wishes, case.compiler, plain, schedule), policy, seed)


def requests_document(found: Service, slot_s: float) -> dict[str, Any]:
    """Write what became of requests down for programs."""
    return {
        "delivered_share": found.delivered_share,
        "value_share": found.value_share,
        "skipped": [list(one) for one in found.skipped],
        "outcomes": [
            {
                "id": one.request_id,
                "status": one.status,
                "attempts": one.attempts,
                "deferrals": one.deferrals,
                "delivered_at_s": None if one.end_slot is None else one.end_slot * slot_s,
            }
            for one in found.outcomes
        ],
    }


def print_requests(settings: CommandSettings, found: Service, slot_s: float) -> None:
    """Show what became of requests."""
    made = table("request", "", ">attempts", ">put off", ">delivered at s")
    for one in found.outcomes:
        end = "" if one.end_slot is None else f"{one.end_slot * slot_s:.3g}"
        add_row(made, [str(one.request_id), one.status, str(one.attempts), str(one.deferrals), end])
    say(settings, "")
    show(settings, made)
    skipped = f"; {len(found.skipped)} periodic instances skipped" if found.skipped else ""
    say(
        settings,
        f"requests: {found.delivered_share:.0%} delivered, {found.value_share:.0%} of their value{skipped}",
    )


def check(request: Request, case: Case) -> None:
    """Refuse what cannot be done after the schedule before it is made."""
    if request.fail:
        from schedulers.entanglement.rerouting import failure_of

        failure_of(request.fail, case.task_set, case.compiler.network.topology if case.compiler else None)
    if request.requests is not None:
        from schedulers.entanglement.request_files import load_requests

        load_requests(request.requests)


def after(
    settings: CommandSettings, request: Request, case: Case, plain: TaskSet, schedule: Schedule
) -> dict[str, Any]:
    """Do everything that was asked for with the schedule; print it, and give it for the JSON document."""
    found: dict[str, Any] = {}
    slot_s, text = plain.slot_s, not settings.as_json
    if request.replay is not None:
        execution = replay(case, plain, schedule, request.replay, request.seed)
        found["replay"] = replay_document(execution)
        if text:
            print_replay(settings, execution)
    if request.requests is not None:
        service = serve_requests(case, plain, schedule, request.requests, request.seed)
        found["requests"] = requests_document(service, slot_s)
        if text:
            print_requests(settings, service, slot_s)
    if request.fail:
        repaired = break_and_repair(case, plain, schedule, request.fail)
        found["repair"] = repair_document(repaired, request.fail)
        if text:
            print_repair(settings, repaired, request.fail)
        plain, schedule = repaired.task_set, repaired.schedule
    if request.export is not None:
        from schedulers.entanglement.export_files import write_folder

        topology = case.compiler.network.topology if case.compiler is not None else None
        written = write_folder(request.export, replace(plain, alternatives={}), schedule, topology)
        found["export"] = [str(path) for path in written]
        if text:
            say(settings, f"{len(written)} files in {request.export}")
    return found
