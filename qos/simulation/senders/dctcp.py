"""DCTCP: reduce in proportion to the share of marked bytes (RFC 8257, section 3.3)."""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from qos.compiled import compiled
from schedulers.packet.layout import Record

GAIN = 1.0 / 16.0


@compiled
def dctcp_note(flow: Record, acked_bytes: int, echoed: bool) -> None:
    """Count acknowledged and marked bytes; once a window renew the share and reduce."""
    flow.dctcp_acked += acked_bytes
    if echoed:
        flow.dctcp_marked += acked_bytes
    if flow.una_bytes < flow.dctcp_end or flow.dctcp_acked == 0:
        return
    share = flow.dctcp_marked / flow.dctcp_acked
    flow.dctcp_alpha += GAIN * (share - flow.dctcp_alpha)
    if flow.dctcp_marked > 0:
        reduced = int(flow.cwnd_bytes * (1.0 - flow.dctcp_alpha / 2.0))
        flow.cwnd_bytes = max(reduced, 2 * flow.mss_bytes)
        flow.ssthresh_bytes = flow.cwnd_bytes
    flow.dctcp_end = flow.next_bytes
    flow.dctcp_acked = 0
    flow.dctcp_marked = 0
