"""What a network still carries beside the admitted flows: a route for one more demand."""

from __future__ import annotations

import numpy as np

from qos.demands import FlowDemand
from qos.engine.candidates import Candidates
from qos.engine.network import Network
from qos.engine.routes import Route, held_bytes, least_bps
from qos.errors import InfeasibleError
from schedulers.admission.problem import TOLERANCE, Floats, Option
from schedulers.admission.state import Loads

DETOURS = 8
"""How often a path that disturbs an admitted flow is tried around it."""


class Residual:
    """Finds routes beside admitted flows; moves none of them.

    Parameters
    ----------
    candidates
        For its network, path finder and route maker.
    loads
        What the admitted flows take.
    """

    def __init__(self, candidates: Candidates, loads: Loads) -> None:
        self.network: Network = candidates.network
        self.loads = loads
        self._finder, self._maker = candidates.finder, candidates.maker
        self._edges = self.network.edges
        self._rate = np.array([edge.rate_bps for edge in self._edges])
        self._service = np.array([edge.service_bps for edge in self._edges])
        # A wire takes one channel, a radio link one or two.
        ends = [(edge.channels[0], edge.channels[-1]) for edge in self._edges]
        self._channels = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        self._fixed_of: dict[int, Floats] = {}
        self._usual = self.network.delay_s(0) - self._fixed(0)
        self._queue = np.array([edge.queue for edge in self._edges], dtype=np.int64)

    def find(self, demand: FlowDemand) -> Route | None:
        """Give a route for a demand beside the admitted ones; None if none was found.

        It is the fastest path over links with room, so that where only wires bound it an answer of None is
        final, but for paths that others' delay bounds close.
        """
        usable = self._with_room(least_bps(demand))
        slack_s = float("inf") if demand.delay_bound_s is None else demand.delay_bound_s
        held = 8 * held_bytes(demand, slack_s)
        # The shorter of the two bounds on the wait, queue by queue.
        rounds = self.loads.wait_s[self._queue] + held / self._service
        weights = self._fixed(demand.packet_bytes) + np.minimum(rounds, self._usual)
        for _ in range(DETOURS):
            if not usable.any():
                return None
            trees = self._finder.trees(weights, (demand.source,), usable)
            path = self._finder.path(trees, demand.source, demand.destination)
            if path is None:
                return None
            try:
                found = self._maker.routes(demand, path)
            except InfeasibleError:
                return None
            for route in found:
                option = route.option(-1, 1.0)
                if self.loads.fits(option):
                    return route
            blocked = self._blocked(option)
            if not blocked:
                return None
            usable &= ~np.isin(self._queue, list(blocked))
        return None

    def _fixed(self, packet_bytes: int) -> Floats:
        if packet_bytes not in self._fixed_of:
            self._fixed_of[packet_bytes] = np.array([edge.fixed_s(packet_bytes) for edge in self._edges])
        return self._fixed_of[packet_bytes]

    def _with_room(self, rate_bps: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        free = self.loads.capacity - self.loads.load
        room = np.minimum(free[self._channels[0]], free[self._channels[1]])
        return np.asarray(room * self._rate >= rate_bps * (1 - TOLERANCE))

    def _blocked(self, option: Option) -> set[int]:
        """Queues that the disturbed flow and the option share, or the one whose channel is too full."""
        other = self.loads.disturbed(option)
        if other is not None:
            return set(self.loads.admitted[other].waits) & set(option.waits)
        channel = self.loads.overfull(option)
        if channel is None:
            return set()
        return {edge.queue for edge in self._edges if channel in edge.channels}
