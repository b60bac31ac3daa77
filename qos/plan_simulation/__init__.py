"""A plan, played: packets through its queues, channels that fade, attempts at entanglement."""

from qos.plan_simulation.outcome import DemandOutcome, PlanOutcome
from qos.plan_simulation.play import PlayOptions, simulate_plan

__all__ = ["DemandOutcome", "PlanOutcome", "PlayOptions", "simulate_plan"]
