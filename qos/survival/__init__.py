"""What planners ask of a plan: backup paths, every single failure, the cheapest upgrade."""

from qos.survival.backup import protect
from qos.survival.failures import Failure, FailureOutcome, failures, sweep
from qos.survival.risks import RiskGroups, read_risk_groups
from qos.survival.upgrade import Costs, Upgrade, cheapest_upgrade

__all__ = [
    "Costs",
    "Failure",
    "FailureOutcome",
    "RiskGroups",
    "Upgrade",
    "cheapest_upgrade",
    "failures",
    "protect",
    "read_risk_groups",
    "sweep",
]
