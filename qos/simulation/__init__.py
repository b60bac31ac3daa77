"""The packet simulator: congestion-controlled flows through queue disciplines on any topology."""

from qos.simulation.batch import run_batch
from qos.simulation.polling import PolledLimits
from qos.simulation.result import Distribution, FlowResult, QueueResult, Result
from qos.simulation.scenario import (
    AdaptiveBitrate,
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    OnOff,
    RateFunction,
    RateTrace,
    Replay,
    RequestResponse,
    Scenario,
    Transport,
    dumbbell,
)
from qos.simulation.simulation import QueueCounters, Simulation, Snapshot, prepare

__all__ = [
    "AdaptiveBitrate",
    "Bulk",
    "ConstantRate",
    "Distribution",
    "FixedSize",
    "Flow",
    "FlowResult",
    "OnOff",
    "PolledLimits",
    "QueueCounters",
    "QueueResult",
    "RateFunction",
    "RateTrace",
    "Replay",
    "RequestResponse",
    "Result",
    "Scenario",
    "Simulation",
    "Snapshot",
    "Transport",
    "dumbbell",
    "prepare",
    "run_batch",
]
