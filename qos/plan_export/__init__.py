"""A plan as files for other tools: containerlab topologies, netplan, host files of `qos attach`."""

from qos.plan_export.write import FORMATS, export

__all__ = ["FORMATS", "export"]
