"""The user-space side of the eBPF classifier: makes its maps, returns idle queues to it."""

from __future__ import annotations

import ipaddress
import mmap
import os
import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from linux_qdisc.bpf import syscalls
from linux_qdisc.bpf.extended import KEY_BYTES, extended_program
from linux_qdisc.bpf.keys import Isolation, LinkHeader
from qos.errors import InputError, KernelError

PROGRAM_NAME = "qos_flows"
LICENCE = "Dual BSD/GPL"
# The kernel keeps up to 128 free entries of an LRU map on each processor's list; a map without
# room for them would forget flows in use.
LRU_ENTRIES_PER_CPU = 512
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class FlowKey:
    """The key of a flow; what the kind of isolation leaves out is zero."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    protocol: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a key of the map."""
        width = 16 if raw[37] == 6 else 4
        source, destination = (ipaddress.ip_address(raw[at : at + width]) for at in (0, 16))
        source_port, destination_port = struct.unpack_from("!HH", raw, 32)
        return cls(source, destination, source_port, destination_port, raw[36])


class FlowMap:
    """Maps and program of one classifier.

    Attributes
    ----------
    flows
        Number of queues.
    prog_fd
        Descriptor of the program.
    """

    def __init__(self, flows: int, prog_fd: int, flow_fd: int, free_fd: int, last_seen_fd: int) -> None:
        self.flows = flows
        self.prog_fd = prog_fd
        self._flow_fd = flow_fd
        self._free_fd = free_fd
        self._last_seen_fd = last_seen_fd
        # Mapped once: the control loop reads it at every poll.
        self._memory = mmap.mmap(last_seen_fd, -(-flows * 8 // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._last_seen_ns = np.frombuffer(self._memory, np.uint64, flows)

    @classmethod
    def create(cls, flows: int, root_major: int, isolation: Isolation, header: LinkHeader) -> Self:
        """Make the maps, mark every queue free and load the program.

        Raises
        ------
        PrivilegeError, MissingPieceError, KernelError
            If this process or this kernel cannot; classic BPF is the way then.
        """
        entries = max(4 * flows, LRU_ENTRIES_PER_CPU * syscalls.possible_cpus(), 1024)
        opened: list[int] = []
        try:
            opened.append(syscalls.map_create(syscalls.LRU_HASH, KEY_BYTES, 4, entries, "qos_flow"))
            opened.append(syscalls.map_create(syscalls.QUEUE, 0, 4, flows, "qos_free"))
            opened.append(
                syscalls.map_create(syscalls.ARRAY, 4, 8, flows, "qos_last_seen", syscalls.MMAPABLE)
            )
            maps = (opened[0], opened[1], opened[2])
            program = extended_program(flows, root_major, isolation, header, maps)
            opened.append(syscalls.prog_load(program, PROGRAM_NAME, LICENCE))
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise
        made = cls(flows, opened[3], *maps)
        made._mark_free(np.arange(flows))
        return made

    @classmethod
    def adopt(cls, program_id: int) -> Self:
        """Open the maps of a program that is at work already.

        Raises
        ------
        PrivilegeError
            Without CAP_SYS_ADMIN.
        InputError
            If the program is not one of ours.
        """
        prog_fd = syscalls.prog_fd_by_id(program_id)
        opened = [prog_fd]
        try:
            _number, name, map_ids = syscalls.prog_info(prog_fd)
            found = {}
            for map_id in map_ids:
                opened.append(syscalls.map_fd_by_id(map_id))
                kind, entries = syscalls.map_info(opened[-1])
                found[kind] = (opened[-1], entries)
            if name != PROGRAM_NAME or set(found) != {syscalls.LRU_HASH, syscalls.QUEUE, syscalls.ARRAY}:
                raise InputError(f"BPF program {program_id} ({name!r}) is not one of ours")
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise
        last_seen_fd, flows = found[syscalls.ARRAY]
        return cls(flows, prog_fd, found[syscalls.LRU_HASH][0], found[syscalls.QUEUE][0], last_seen_fd)

    def _mark_free(self, queues: NDArray[np.int64]) -> None:
        self._last_seen_ns[queues] = 0
        for queue in queues.tolist():
            try:
                syscalls.map_update(self._free_fd, b"", struct.pack("=I", queue))
            except KernelError:
                return  # full: every queue is marked already

    def rebuild_free(self) -> None:
        """Mark free exactly the queues that no flow maps to, after a controller died."""
        while syscalls.queue_pop(self._free_fd, 4) is not None:
            pass
        _keys, values = self._items()
        free = np.ones(self.flows, np.bool_)
        free[values[values < self.flows]] = False
        self._mark_free(np.flatnonzero(free))

    def _items(self) -> tuple[bytes, NDArray[np.uint32]]:
        raw_keys, values = syscalls.map_items(self._flow_fd, KEY_BYTES, 4, 4 * self.flows)
        return raw_keys, np.frombuffer(values, np.uint32)

    def release(self, queues: NDArray[np.int64]) -> None:
        """Forget the flows of idle queues and mark the queues free again.

        A queue that this map has not given out is free already and is passed over: marked twice,
        it would go to two flows. Its packets came through the classifier before this one.

        Parameters
        ----------
        queues
            Distinct queue numbers; no message is sent where it is empty.
        """
        queues = queues[self.last_seen_ns()[queues] != 0]
        if not len(queues):
            return
        raw_keys, values = self._items()
        for place in np.flatnonzero(np.isin(values, queues)).tolist():
            syscalls.map_delete(self._flow_fd, raw_keys[place * KEY_BYTES : (place + 1) * KEY_BYTES])
        self._mark_free(queues)

    def entries(self) -> dict[int, list[FlowKey]]:
        """Return the flows of each queue in use."""
        raw_keys, values = self._items()
        found: dict[int, list[FlowKey]] = {}
        for place, queue in enumerate(values.tolist()):
            key = FlowKey.parse(raw_keys[place * KEY_BYTES : (place + 1) * KEY_BYTES])
            found.setdefault(queue, []).append(key)
        return found

    def last_seen_ns(self) -> NDArray[np.uint64]:
        """Return the time of each queue's last packet (CLOCK_MONOTONIC, ns), shape ``(flows,)``.

        It is 0 where the queue has not been given out since it was free.
        """
        return self._last_seen_ns.copy()

    def close(self) -> None:
        """Close the descriptors; a filter that uses the program keeps it and the maps alive."""
        self._last_seen_ns = np.zeros(0, np.uint64)  # a view keeps the memory mapped
        self._memory.close()
        for descriptor in (self.prog_fd, self._flow_fd, self._free_fd, self._last_seen_fd):
            os.close(descriptor)
