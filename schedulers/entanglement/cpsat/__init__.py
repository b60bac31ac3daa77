"""Joint admission and placement of entanglement demands, with proven bounds (OR-Tools CP-SAT).

`optimise` takes a `TaskSet` and `Options` and gives an `Outcome`; `OnlineScheduler` takes demands one by
one. The parts: `conflicts` (what excludes what), `bounds` (relaxations), `greedy` and `timetable` (first
schedules), `model` (the constraint model), `weighted`, `fairness`, `smooth` and `makespan` (objectives),
`neighbourhood` (networks too large to prove), `online`.
"""
