"""The QoS engine: one topology model in front of queues, radios and quantum links.

Public names are loaded on first use (PEP 562), so that importing any package of the project
costs only what it needs.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("qos-engine")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
