"""What the MIP solver prints never reaches the user's standard output."""

from __future__ import annotations

import subprocess
import sys

NOISY = """
import ctypes
from schedulers.entanglement.cpsat.bounds import _silent_stdout
print("before")
with _silent_stdout():
    ctypes.CDLL(None).printf(b"noise of the solver\\n")
print("after")
"""


def test_text_that_c_holds_back_for_a_pipe_does_not_appear_later() -> None:
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
