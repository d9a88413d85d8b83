"""Agones' Chain policy: several policies in order, of which the first that has something to say decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.autoscaling.schedule import DecidingPolicy


@dataclass(frozen=True, slots=True)
class Chain:
    """The policy; ``links`` are names and policies."""

    links: tuple[tuple[str, DecidingPolicy], ...]

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """What the first link says that does not pass."""
        for name, policy in self.links:
            decision = policy.decide(fleet, now)
            if decision.replicas is not None:
                return replace(decision, reason=f"{name}: {decision.reason}")
        return Decision(None, False, "no link of the chain applies now")
