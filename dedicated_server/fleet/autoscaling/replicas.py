"""What a policy is asked and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Replicas:
    """A fleet's servers, counted as Agones counts them.

    Attributes:
        replicas: all that live, those still starting included.
        ready, reserved, allocated: of them, in these states.
        unmet: matches that asked in vain since the last decision; a fleet scaled to zero grows by these alone.
    """

    replicas: int
    ready: int
    reserved: int
    allocated: int
    unmet: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """How many servers there should be.

    Attributes:
        replicas: in all, the allocated ones included; None where the policy has nothing to say (a schedule out of its time).
        limited: whether a minimum or a maximum decided.
        reason: one sentence for an operator.
    """

    replicas: int | None
    limited: bool
    reason: str


def clamp(decision: Decision, min_replicas: int, max_replicas: int) -> Decision:
    """Keep a decision between ``least`` and ``most`` replicas, and say so where that changes it."""
    if decision.replicas is None:
        return decision
    if decision.replicas < min_replicas:
        return replace(
            decision,
            replicas=min_replicas,
            limited=True,
            reason=f"{decision.reason}; at least {min_replicas}",
        )
    if decision.replicas > max_replicas:
        return replace(
            decision, replicas=max_replicas, limited=True, reason=f"{decision.reason}; at most {max_replicas}"
        )
    return decision


def round_up(value: float) -> int:
    """The next whole number, forgiving what floating point adds to an exact one."""
    return math.ceil(value - 1e-9)
