"""The command `qos`: one module a verb, imported only when that verb runs."""

from qos.cli.root import main

__all__ = ["main"]
