"""The QoS engine: one topology model in front of queues, radios and quantum links.

::

    import qos

    plan = qos.plan(qos.load("campus.yaml"))
    plan.flows["alice-call"].delay_predicted_s

Public names are loaded on first use (PEP 562), so that importing any package of the project
costs only what it needs.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("qos-engine")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from qos.demands import EntanglementDemand, FlowDemand
    from qos.engine import plan, replan
    from qos.plan_changes import diff
    from qos.plan_files import load_plan, save_plan
    from qos.planning import Plan, PlanOptions, Scenario
    from qos.scenarios import load, scenario

_PLACES = {
    "EntanglementDemand": "qos.demands",
    "FlowDemand": "qos.demands",
    "Plan": "qos.planning",
    "PlanOptions": "qos.planning",
    "Scenario": "qos.planning",
    "diff": "qos.plan_changes",
    "load": "qos.scenarios",
    "load_plan": "qos.plan_files",
    "plan": "qos.engine",
    "replan": "qos.engine",
    "save_plan": "qos.plan_files",
    "scenario": "qos.scenarios",
}

__all__ = [
    "EntanglementDemand",
    "FlowDemand",
    "Plan",
    "PlanOptions",
    "Scenario",
    "__version__",
    "diff",
    "load",
    "load_plan",
    "plan",
    "replan",
    "save_plan",
    "scenario",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _PLACES:
        raise AttributeError(f"module 'qos' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted(__all__)
