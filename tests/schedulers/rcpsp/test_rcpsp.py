from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.errors import InputError, ValueRefusedError
from schedulers.rcpsp import Break, Mode, Precedence, Problem, Resource, Schedule, Task
from schedulers.rcpsp.cpsat import solve
from schedulers.rcpsp.evolution import evolve, is_plain
from schedulers.rcpsp.generators import Shape, generate
from schedulers.rcpsp.problem import lower_bound
from schedulers.rcpsp.psplib import load_psplib
from schedulers.rcpsp.sgs import first_schedule
from schedulers.rcpsp.verify import violations


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    count = draw(st.integers(1, 4))
    pauses = draw(st.sampled_from(((), (Break(2, 3),), (Break(1, 2, 1, every=4),))))
    resources = [Resource(draw(st.integers(2, 3)), breaks=pauses)]
    if draw(st.booleans()):
        resources.append(Resource(draw(st.integers(3, 5)), renewable=False))
    tasks = []
    for _ in range(count):
        modes = [
            Mode(draw(st.integers(0, 3)), tuple(draw(st.integers(0, 2)) for _ in resources))
            for _ in range(draw(st.integers(1, 2)))
        ]
        release = draw(st.sampled_from((0, 0, 1)))
        tasks.append(Task(tuple(modes), release, draw(st.sampled_from((None, None, 9)))))
    links = []
    for a, b in itertools.combinations(range(count), 2):
        if draw(st.integers(0, 2)) == 0:
            lag = draw(st.integers(-1, 2))
            links.append(Precedence(a, b, lag, draw(st.sampled_from((None, lag + 1)))))
    return Problem(tuple(tasks), tuple(resources), tuple(links))


def shortest_by_force(problem: Problem, until: int = 14) -> int | None:
    """Try every mode and, task by task, every start: the plainest search there is."""
    best: int | None = None
    for modes in itertools.product(*(range(len(task.modes)) for task in problem.tasks)):
        used = [
            sum(problem.demand(i, m, r) for i, m in enumerate(modes)) for r in range(len(problem.resources))
        ]
        if any(u > one.capacity for u, one in zip(used, problem.resources, strict=True) if not one.renewable):
            continue
        for starts in itertools.product(range(until - 4), repeat=len(modes)):
            schedule = Schedule(starts, modes)
            length = schedule.makespan(problem)
            if (best is None or length < best) and violations(problem, schedule) == []:
                best = length
    return best


@given(problems())
@settings(max_examples=25)
def test_the_makespan_is_what_trying_everything_finds(problem: Problem) -> None:
    best = shortest_by_force(problem)
    result = solve(problem, 10, workers=1)
    if best is None:
        assert result.status == "infeasible" or (result.objective or 0) > 9
        return
    assert (result.status, result.objective, result.bound) == ("optimal", best, best)
    assert result.schedule is not None
    assert violations(problem, result.schedule) == []
    assert result.gap == 0


@given(problems())
@settings(max_examples=60)
def test_first_schedules_are_valid(problem: Problem) -> None:
    schedule = first_schedule(problem, 0.05, rounds=6)
    if schedule is not None:
        assert violations(problem, schedule) == []
        assert schedule.makespan(problem) >= lower_bound(problem)


@given(st.integers(2, 25), st.integers(0, 10**6))
@settings(max_examples=25)
def test_generated_problems_have_a_first_schedule_near_the_bound(tasks: int, seed: int) -> None:
    problem = generate(Shape(tasks=tasks), seed)
    schedule = first_schedule(problem, 1, seed, rounds=8)
    assert schedule is not None
    assert violations(problem, schedule) == []
    assert lower_bound(problem) <= schedule.makespan(problem) <= 2.5 * lower_bound(problem)


def test_thirty_tasks_are_solved_to_optimality() -> None:
    result = solve(generate(Shape(), seed=4), 10)
    assert result.status == "optimal"


def test_the_same_seed_gives_the_same_first_schedule() -> None:
    problem = generate(Shape(), seed=4)
    one, other = (first_schedule(problem, 100, seed=7, rounds=10) for _ in range(2))
    assert one == other


def test_more_rounds_are_never_worse() -> None:
    problem = generate(Shape(tasks=60), seed=1)
    few, many = (first_schedule(problem, 100, rounds=rounds) for rounds in (1, 40))
    assert few is not None
    assert many is not None
    assert many.makespan(problem) <= few.makespan(problem)


def test_a_break_is_waited_for() -> None:
    machine = Resource(1, breaks=(Break(2, 5, every=10),))
    problem = Problem((Task((Mode(3, (1,)),)), Task((Mode(2, (1,)),))), (machine,))
    result = solve(problem, 5, workers=1)
    assert (result.status, result.objective) == ("optimal", 8)


def test_what_is_used_up_forces_the_slower_mode() -> None:
    modes = (Mode(1, (3,)), Mode(4, (1,)))
    problem = Problem((Task(modes), Task(modes)), (Resource(4, renewable=False),))
    assert solve(problem, 5, workers=1).objective == 4
    tight = Problem((Task(modes), Task(modes)), (Resource(3, renewable=False),))
    result = solve(tight, 5, workers=1)
    assert result.objective == 4
    assert result.schedule is not None
    assert result.schedule.modes == (1, 1)


def test_what_cannot_be_is_proven_infeasible() -> None:
    problem = Problem(
        (Task((Mode(3, (1,)),), deadline=4), Task((Mode(3, (1,)),), deadline=4)), (Resource(1),)
    )
    result = solve(problem, 5, workers=1)
    assert (result.status, result.objective, result.schedule) == ("infeasible", None, None)
    assert result.gap == float("inf")


def test_lags_hold_on_both_sides() -> None:
    tasks = (Task((Mode(2),)), Task((Mode(1),)))
    problem = Problem(tasks, (), (Precedence(0, 1, 3, 3),))
    result = solve(problem, 5, workers=1)
    assert result.schedule == Schedule((0, 5), (0, 0))


def test_no_tasks_take_no_time() -> None:
    assert solve(Problem(()), 1).objective == 0


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        (Schedule((0,), (0,)), "1 starts"),
        (Schedule((0, 0), (0, 1)), "no mode 1"),
        (Schedule((0, 0), (0, 0)), "2 of 1 used at 0"),
        (Schedule((2, 1), (0, 0)), "starts -3 after"),
        (Schedule((0, 9), (0, 0)), "after its deadline"),
    ],
)
def test_the_judge_names_what_is_wrong(schedule: Schedule, complaint: str) -> None:
    task = Mode(2, (1,))
    problem = Problem((Task((task,)), Task((task,), deadline=8)), (Resource(1),), (Precedence(0, 1),))
    assert any(complaint in line for line in violations(problem, schedule))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Resource(-1), "below 0"),
        (lambda: Resource(1, renewable=False, breaks=(Break(0, 1),)), "calendar"),
        (lambda: Break(3, 3), "start < end"),
        (lambda: Break(0, 3, every=2), "before it ends"),
        (lambda: Break(0, 3, capacity=-1), "below 0"),
        (lambda: Mode(-1), "below 0"),
        (lambda: Task(()), "no mode"),
        (lambda: Task((Mode(1),), release=-1), "release"),
        (lambda: Precedence(1, 1), "before itself"),
        (lambda: Precedence(0, 1, 3, 2), "max_lag"),
        (lambda: Problem((Task((Mode(1, (2,)),)),), (Resource(1),)), "more than there is"),
        (lambda: Problem((Task((Mode(1, (2,)),)),)), "more resources"),
        (lambda: Problem((Task((Mode(1),)),), (), (Precedence(0, 4),)), "no such task"),
        (
            lambda: Problem((Task((Mode(1),)),) * 2, (), (Precedence(0, 1), Precedence(1, 0))),
            "circle",
        ),
        (lambda: Problem((Task((Mode(10**8),)),)), "horizon"),
        (lambda: Shape(tasks=1), "tasks"),
        (lambda: solve(Problem(()), 0), "time limit"),
        (lambda: solve(Problem(()), 1, workers=0), "workers"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        make()  # type: ignore[operator]


MULTI = """\
************************************************************************
file with basedata            : tiny.bas
************************************************************************
projects                      :  1
jobs (incl. supersource/sink ):  4
horizon                       :  9
RESOURCES
  - renewable                 :  1   R
  - nonrenewable              :  1   N
  - doubly constrained        :  0   D
************************************************************************
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          2           2   3
   2        2          1           4
   3        1          1           4
   4        1          0
************************************************************************
REQUESTS/DURATIONS:
jobnr. mode duration  R 1  N 1
------------------------------------------------------------------------
  1      1     0       0    0
  2      1     2       1    4
         2     5       1    1
  3      1     3       1    2
  4      1     0       0    0
************************************************************************
RESOURCEAVAILABILITIES:
  R 1  N 1
    1    5
************************************************************************
"""


def test_a_psplib_file_reads_as_its_problem(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mm"
    path.write_text(MULTI)
    problem = load_psplib(path)
    assert [len(task.modes) for task in problem.tasks] == [1, 2, 1, 1]
    assert [(one.capacity, one.renewable) for one in problem.resources] == [(1, True), (5, False)]
    assert [(k.before, k.after) for k in problem.precedences] == [(0, 1), (0, 2), (1, 3), (2, 3)]
    result = solve(problem, 5, workers=1)
    assert (result.status, result.objective) == ("optimal", 8)  # 2 must take its thrifty mode: 5 + 3


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("jobs (incl. supersource/sink ):  4", "", "number of jobs"),
        ("sink ):  4", "sink ):  999999999", "expected 999999999 jobs, but it ends after 31 lines"),
        ("sink ):  4", "sink ):  " + 5000 * "4", "the number of jobs has 5000 digits"),
        ("- renewable", "- renewed", "renewable resources"),
        ("PRECEDENCE RELATIONS:", "", "PRECEDENCE RELATIONS"),
        ("2   3\n", "2   9\n", "none of the 4 jobs"),
        ("   2        2          1           4", "   2        2          2           4", "line 15"),
        ("         2     5       1    1\n", "", "job 2: has 1 modes"),
        ("  3      1     3       1    2", "  3      1     3       1    x", "line 25"),
        ("    1    5\n", "    1\n", "expected 2 numbers"),
        ("  3      1     3       1    2", "  3      1     3       7    2", "more than there is"),
    ],
)
def test_a_wrong_psplib_file_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "tiny.mm"
    assert old in MULTI
    path.write_text(MULTI.replace(old, new))
    with pytest.raises(InputError, match=complaint) as refused:
        load_psplib(path)
    assert str(path) in str(refused.value)


def test_random_bytes_are_no_psplib_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.sm"
    path.write_text("nothing of the kind\n")
    with pytest.raises(InputError, match="PSPLIB"):
        load_psplib(path)
    with pytest.raises(InputError, match=r"missing\.sm"):
        load_psplib(tmp_path / "missing.sm")


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000), st.floats(0, 1))
def test_evolution_gives_valid_schedules_no_longer_than_the_first_ones(
    tasks: int, seed: int, strength: float
) -> None:
    problem = generate(Shape(tasks=tasks, factor=0.75, strength=strength), seed)
    first = first_schedule(problem, 5, rounds=2)
    assert first is not None
    found, same = (evolve(problem, first, 0, 500, 60, seed=1) for _ in range(2))
    assert violations(problem, found) == []
    assert lower_bound(problem) <= found.makespan(problem) <= first.makespan(problem)
    assert found == same


def test_evolution_keeps_lags() -> None:
    tasks = tuple(Task((Mode(duration, (1,)),)) for duration in (3, 2, 4, 1))
    links = (Precedence(0, 2, min_lag=5), Precedence(1, 3, min_lag=2))
    problem = Problem(tasks, (Resource(1),), links)
    found = evolve(problem, Schedule((0, 3, 8, 12), (0, 0, 0, 0)), 0, 500, 60)
    assert violations(problem, found) == []
    assert found.makespan(problem) == 12


@pytest.mark.parametrize(
    "problem",
    [
        Problem((Task((Mode(1),), release=1),)),
        Problem((Task((Mode(1),), deadline=9),)),
        Problem((Task((Mode(1, (1,)),)),), (Resource(1, breaks=(Break(0, 1),)),)),
        Problem((Task((Mode(1),)), Task((Mode(1),))), (), (Precedence(0, 1, max_lag=3),)),
        Problem((Task((Mode(1),)), Task((Mode(1),))), (), (Precedence(0, 1, min_lag=-1),)),
    ],
)
def test_evolution_is_for_plain_problems(problem: Problem) -> None:
    assert not is_plain(problem)
    result = solve(problem, time_limit_s=5, workers=1)
    assert result.status == "optimal"
