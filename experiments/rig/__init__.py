"""A Linux kernel with every packet scheduler, as a process of this host: User-mode Linux from Debian.

No root, no KVM, no changes to the host: the guest sees the host's files read-only (hostfs) and writes
to memory, and to one folder that comes back as the command's output.
"""

from experiments.rig.boot import Finished, Request, run
from experiments.rig.packages import Rig, RigMissingError, prepare

__all__ = ["Finished", "Request", "Rig", "RigMissingError", "prepare", "run"]
