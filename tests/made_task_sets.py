"""Task sets made by hypothesis: a few qubits, operations that lock, periods that need not divide."""

from __future__ import annotations

from hypothesis import strategies as st

from schedulers.entanglement.tasks import Interval, Operation, PeriodicTask, TaskSet

QUBITS = tuple(f"{node}-{kind}" for node in "abcd" for kind in ("C0", "S0"))


def occupancy_of(operations: tuple[Operation, ...], exec_slots: int) -> dict[str, tuple[Interval, ...]]:
    """Say when each qubit is in use or locked, slot by slot (section 6.5 of the paper's system)."""
    busy: dict[str, set[int]] = {}
    for qubit in {qubit for operation in operations for qubit in operation.qubits}:
        mine = sorted((o for o in operations if qubit in o.qubits), key=lambda o: o.offset_slots)
        slots: set[int] = set()
        for index, operation in enumerate(mine):
            end = operation.offset_slots + operation.duration_slots
            slots |= set(range(operation.offset_slots, end))
            until = mine[index + 1].offset_slots if index + 1 < len(mine) else exec_slots
            if qubit in operation.locked_qubits:
                slots |= set(range(end, until))
        busy[qubit] = slots
    return {
        qubit: tuple(
            (begin, next(end for end in range(begin, exec_slots + 1) if end not in slots))
            for begin in sorted(slots)
            if begin - 1 not in slots
        )
        for qubit, slots in busy.items()
    }


@st.composite
def operation_lists(draw: st.DrawFn) -> tuple[Operation, ...]:
    """Draw operations that follow each other on each qubit, without a slot in which nothing runs."""
    operations: list[Operation] = []
    free_from: dict[str, int] = {}
    for index in range(draw(st.integers(1, 4))):
        qubits = tuple(draw(st.lists(st.sampled_from(QUBITS), min_size=1, max_size=3, unique=True)))
        earliest = max(free_from.get(qubit, 0) for qubit in qubits)
        frontier = max(free_from.values(), default=0)
        offset = min(frontier, earliest + draw(st.integers(0, 2))) if earliest < frontier else earliest
        duration = draw(st.integers(1, 4))
        locked = tuple(qubit for qubit in qubits if draw(st.booleans()))
        operations.append(Operation(f"o{index}", "link", offset, duration, qubits, locked))
        free_from |= dict.fromkeys(qubits, offset + duration)
    return tuple(operations)


@st.composite
def tasks(draw: st.DrawFn, task_id: int) -> PeriodicTask:
    """Draw one task; some know their operations, some only their occupancy."""
    operations = draw(operation_lists())
    exec_slots = max(operation.offset_slots + operation.duration_slots for operation in operations)
    fitting = [period for period in (4, 6, 8, 12, 16, 24, 48) if period >= exec_slots]
    return PeriodicTask(
        task_id=task_id,
        name=f"S={draw(st.integers(0, 2))}, ID={task_id}",
        source="a",
        destination="b",
        min_fidelity=0.8,
        period_slots=draw(st.sampled_from(fitting)),
        exec_slots=exec_slots,
        occupancy=occupancy_of(operations, exec_slots),
        preemption_budget_slots=draw(st.sampled_from([0, 1, 3, 10, 100])),
        operations=operations if draw(st.booleans()) else (),
        max_jitter_slots=draw(st.sampled_from([None, None, None, 0, 2])),
    )


@st.composite
def task_sets(draw: st.DrawFn, max_tasks: int = 7) -> TaskSet:
    """Draw a task set of at most `max_tasks` tasks."""
    count = draw(st.integers(0, max_tasks))
    order = draw(st.permutations(range(count)))
    return TaskSet(0.01, tuple(draw(tasks(task_id)) for task_id in order), "made")
