"""What a policy is asked, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MAX_REPLICAS = 1_000_000


@dataclass(frozen=True, slots=True)
class Replicas:
    """A fleet's servers, counted as Agones counts them.

    Attributes:
        replicas: all live servers, those still starting included.
        ready, reserved, allocated: the servers in these states.
        unmet: matches that found no server lately; a fleet that is scaled to zero grows by these alone.
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
        replicas: all servers, the allocated ones included; None where the policy decides nothing, such as a
            schedule out of its time.
        limited: whether a minimum or a maximum decided.
        reason: one sentence for operators.
    """

    replicas: int | None
    limited: bool
    reason: str


def clamp(decision: Decision, min_replicas: int, max_replicas: int) -> Decision:
    """Limit a decision to ``min_replicas`` … ``max_replicas``, and say in its reason that it was limited."""
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
    """Return the next whole number; what floating point adds to a whole number is ignored."""
    return math.ceil(value - 1e-9)
