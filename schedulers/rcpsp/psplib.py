"""Files of PSPLIB: single-mode ``.sm`` and multi-mode ``.mm`` (Kolisch & Sprecher, EJOR 96, 1996)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qos.errors import InputError, QosError
from qos.units import is_count
from schedulers.rcpsp.problem import Mode, Precedence, Problem, Resource, Task
from topologies.guards import read_text

_COUNT = re.compile(r"jobs \(incl\. supersource/sink \)\s*:\s*(\d+)")
_RENEWABLE = re.compile(r"-\s*renewable\s*:\s*(\d+)")
_OTHER = re.compile(r"-\s*nonrenewable\s*:\s*(\d+)")


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.text = text
        self.lines = text.splitlines()

    def refuse(self, what: str) -> InputError:
        return InputError(f"{self.source}: {what}")

    def count(self, pattern: re.Pattern[str], what: str) -> int:
        found = pattern.search(self.text)
        if found is None:
            raise self.refuse(f"expected a line with the number of {what}; is this a PSPLIB file?")
        if not is_count(found.group(1)):
            raise self.refuse(f"the number of {what} has {len(found.group(1))} digits")
        return int(found.group(1))

    def section(self, title: str) -> list[tuple[int, list[int]]]:
        """Give line number and whole numbers of each row below a title, up to a line of asterisks."""
        begin = next((i for i, line in enumerate(self.lines) if line.startswith(title)), None)
        if begin is None:
            raise self.refuse(f"section {title!r} is missing")
        rows: list[tuple[int, list[int]]] = []
        for number, line in enumerate(self.lines[begin + 1 :], begin + 2):
            if line.startswith("*"):
                break
            words = line.split()
            if not words or not re.fullmatch(r"-?\d+", words[0]):
                continue
            try:
                rows.append((number, [int(word) for word in words]))
            except ValueError:
                raise self.refuse(f"line {number}: expected whole numbers") from None
        return rows

    def precedences(self, count: int) -> tuple[list[Precedence], list[int]]:
        if count > len(self.lines):  # each has its line
            raise self.refuse(f"expected {count} jobs, but it ends after {len(self.lines)} lines")
        links, modes = [], [0] * count
        for line, row in self.section("PRECEDENCE RELATIONS"):
            if len(row) < 3 or len(row) != 3 + row[2] or not 1 <= row[0] <= count:
                raise self.refuse(
                    f"line {line}: expected job, modes, number of successors and the successors"
                )
            modes[row[0] - 1] = row[1]
            if any(not 1 <= after <= count for after in row[3:]):
                raise self.refuse(f"line {line}: a successor is none of the {count} jobs")
            links += [Precedence(row[0] - 1, after - 1) for after in row[3:]]
        return links, modes

    def modes(self, count: int, resources: int) -> list[list[Mode]]:
        found: list[list[Mode]] = [[] for _ in range(count)]
        job = -1
        for line, row in self.section("REQUESTS/DURATIONS"):
            if len(row) == resources + 3:
                job = row[0] - 1
                row = row[1:]
            if len(row) != resources + 2 or not 0 <= job < count:
                raise self.refuse(f"line {line}: expected job, mode, duration and {resources} requests")
            found[job].append(Mode(row[1], tuple(row[2:])))
        return found

    def capacities(self, resources: int) -> list[int]:
        rows = self.section("RESOURCEAVAILABILITIES")
        if not rows or len(rows[0][1]) != resources:
            raise self.refuse(f"RESOURCEAVAILABILITIES: expected {resources} numbers")
        return rows[0][1]


def load_psplib(path: str | os.PathLike[str]) -> Problem:
    """Read a ``.sm`` or ``.mm`` file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Problem
        Jobs in the file's order, supersource and sink included; named by the file.

    Raises
    ------
    InputError
        If the file cannot be read or is not as PSPLIB's; names file and line.
    """
    source = os.fspath(path)
    reader = _Reader(read_text(Path(path)), source)
    count = reader.count(_COUNT, "jobs")
    renewable = reader.count(_RENEWABLE, "renewable resources")
    other = reader.count(_OTHER, "nonrenewable resources")
    links, stated = reader.precedences(count)
    modes = reader.modes(count, renewable + other)
    for job, (found, wanted) in enumerate(zip(modes, stated, strict=True)):
        if len(found) != wanted or not found:
            raise reader.refuse(f"job {job + 1}: has {len(found)} modes in place of {wanted}")
    capacities = reader.capacities(renewable + other)
    try:
        resources = tuple(
            Resource(
                capacity,
                renewable=number < renewable,
                name=f"{'R' if number < renewable else 'N'}{number + 1}",
            )
            for number, capacity in enumerate(capacities)
        )
        tasks = tuple(Task(tuple(found), name=str(job + 1)) for job, found in enumerate(modes))
        return Problem(tasks, resources, tuple(links), Path(path).stem)
    except QosError as error:
        raise reader.refuse(str(error)) from None
