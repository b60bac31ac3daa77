"""Multi-user rules by name."""

from __future__ import annotations

import difflib

from qos.crosslayer.multiuser.contract import MultiUserRule
from qos.crosslayer.multiuser.earliest_deadline import earliest_deadline
from qos.crosslayer.multiuser.exp_pf import exp_mean, exp_pf
from qos.crosslayer.multiuser.max_rate import max_rate
from qos.crosslayer.multiuser.mlwdf import mlwdf, mlwdf_mean
from qos.crosslayer.multiuser.mlwdf_sqrt import mlwdf_sqrt
from qos.crosslayer.multiuser.proportional_fair import proportional_fair, proportional_fair_mean
from qos.errors import ValueRefusedError

RULES: dict[str, MultiUserRule] = {
    "max-rate": max_rate,
    "pf": proportional_fair,
    "pf-mean": proportional_fair_mean,
    "edf": earliest_deadline,
    "mlwdf": mlwdf,
    "mlwdf-mean": mlwdf_mean,
    "exp-pf": exp_pf,
    "exp-mean": exp_mean,
    "mlwdf-sqrt": mlwdf_sqrt,
}
"""Every rule by the name that users write."""


def rule_by_name(name: str) -> MultiUserRule:
    """Return a rule.

    Raises
    ------
    ValueRefusedError
        If there is none of that name.
    """
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueRefusedError(f"unknown multi-user rule {name!r}; known: {', '.join(RULES)}{hint}")
    return RULES[name]
