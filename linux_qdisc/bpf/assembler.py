"""eBPF instructions with labels (linux/bpf.h; only what the classifier needs)."""

from __future__ import annotations

import struct

MEM_B, MEM_H, MEM_W, MEM_DW = 0x10, 0x08, 0x00, 0x18
JEQ, JNE, JGE, JGT, JSET = 0x10, 0x50, 0x30, 0x20, 0x40
ADD, OR, AND, LSH, RSH, XOR, MUL, MOV = 0x00, 0x40, 0x50, 0x60, 0x70, 0xA0, 0x20, 0xB0
PSEUDO_MAP_FD = 1
_ALU64, _JMP, _JMP32 = 0x07, 0x05, 0x06
_REGISTER = 0x08
_INSTRUCTION = struct.Struct("=BBhi")
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)


class Assembler:
    """Builds one program; jumps go forward only, so that the oldest verifiers accept it."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int, str | None]] = []
        self._labels: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._code)

    def _emit(self, code: int, registers: int, offset: int, value: int, label: str | None = None) -> None:
        self._code.append((code, registers, offset, value, label))

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        self._labels[name] = len(self._code)

    def alu(self, operation: int, target: int, value: int) -> None:
        """Compute ``target = target OP value`` in 64 bits; the value is sign-extended."""
        self._emit(_ALU64 | operation, target, 0, value)

    def alu_register(self, operation: int, target: int, source: int) -> None:
        """Compute ``target = target OP source`` in 64 bits."""
        self._emit(_ALU64 | _REGISTER | operation, source << 4 | target, 0, 0)

    def load(self, size: int, target: int, base: int, offset: int) -> None:
        """Load ``target = *(base + offset)``."""
        self._emit(0x61 | size, base << 4 | target, offset, 0)

    def store(self, size: int, base: int, offset: int, source: int) -> None:
        """Store ``*(base + offset) = source``."""
        self._emit(0x63 | size, source << 4 | base, offset, 0)

    def store_value(self, size: int, base: int, offset: int, value: int) -> None:
        """Store a constant."""
        self._emit(0x62 | size, base, offset, value)

    def jump(self, label: str) -> None:
        """Go to a label."""
        self._emit(_JMP, 0, 0, 0, label)

    def jump_if(self, condition: int, register: int, value: int, label: str) -> None:
        """Go to a label if ``register CONDITION value`` (64 bits, unsigned)."""
        self._emit(_JMP | condition, register, 0, value, label)

    def jump_if_register(self, condition: int, left: int, right: int, label: str) -> None:
        """Go to a label if ``left CONDITION right`` (64 bits, unsigned)."""
        self._emit(_JMP | _REGISTER | condition, right << 4 | left, 0, 0, label)

    def call(self, helper: int) -> None:
        """Call a helper: r1 to r5 in, r0 out."""
        self._emit(_JMP | 0x80, 0, 0, helper)

    def map_address(self, target: int, descriptor: int) -> None:
        """Load the address of a map (two instructions)."""
        self._emit(0x18, PSEUDO_MAP_FD << 4 | target, 0, descriptor)
        self._emit(0, 0, 0, 0)

    def exit(self) -> None:
        """Return r0."""
        self._emit(_JMP | 0x90, 0, 0, 0)

    def assemble(self) -> bytes:
        """Resolve the labels and return the bytes.

        Raises
        ------
        ValueError
            If a label is unknown or behind the jump.
        """
        parts = []
        for place, (code, registers, offset, value, label) in enumerate(self._code):
            if label is not None:
                if self._labels.get(label, -1) <= place:
                    raise ValueError(f"label {label!r} is unknown or behind")
                offset = self._labels[label] - place - 1
            parts.append(_INSTRUCTION.pack(code, registers, offset, value))
        return b"".join(parts)
