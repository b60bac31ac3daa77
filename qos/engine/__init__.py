"""The engine: a scenario in, a plan for queues, radios and quantum links out."""

from qos.engine.planner import plan, replan

__all__ = ["plan", "replan"]
