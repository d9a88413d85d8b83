"""Agones' Webhook policy: what is asked, and what an answer means. Asking is others' work, as it takes time.

The question is a FleetAutoscaleReview with a ``request``, the answer the same object with a ``response``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dedicated_server.fleet.autoscaling.buffer import MAX_REPLICAS
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas


class ReviewError(ValueError):
    """Raised when a review is not Agones'; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Review:
    """A question."""

    uid: str
    fleet_name: str
    fleet: Replicas


@dataclass(frozen=True, slots=True)
class Webhook:
    """The policy: ask at ``url``. It decides nothing by itself, so in a chain its answer has to be had before."""

    url: str

    def decide(self, _fleet: Replicas, _now: float) -> Decision:
        """Pass: the answer of the webhook is asked for by whoever runs the policy."""
        return Decision(None, False, f"{self.url} was not asked")


def question(uid: str, name: str, namespace: str, fleet: Replicas) -> dict[str, Any]:
    """The review to post."""
    status = {
        "replicas": fleet.replicas,
        "readyReplicas": fleet.ready,
        "reservedReplicas": fleet.reserved,
        "allocatedReplicas": fleet.allocated,
    }
    request = {
        "uid": uid,
        "name": name,
        "namespace": namespace,
        "status": status,
        "labels": {},
        "annotations": {},
    }
    return {"request": request, "response": None}


def read_question(body: Any) -> Review:
    """Read a posted review; raises ReviewError."""
    try:
        request = body["request"]
        status = request["status"]
        counts = [
            int(status.get(name, 0))
            for name in ("replicas", "readyReplicas", "reservedReplicas", "allocatedReplicas")
        ]
        if min(counts) < 0 or max(counts) > MAX_REPLICAS:
            raise ReviewError(f"the counts must be from 0 to {MAX_REPLICAS}")
        return Review(str(request["uid"]), str(request["name"]), Replicas(*counts))
    except ReviewError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ReviewError(
            "the body is no FleetAutoscaleReview: it needs request.uid, .name and .status"
        ) from error


def answer(body: dict[str, Any], uid: str, decision: Decision) -> dict[str, Any]:
    """The review with its response."""
    response: dict[str, Any] = {"uid": uid, "scale": decision.replicas is not None}
    response["replicas"] = decision.replicas or 0
    return {**body, "response": response}


def read_answer(body: Any, uid: str, url: str) -> Decision:
    """Read what a webhook answered; raises ReviewError."""
    try:
        response = body["response"]
        scale, replicas, answered = response["scale"], response.get("replicas", 0), response["uid"]
    except (LookupError, TypeError, AttributeError) as error:
        raise ReviewError(f"{url} answered no FleetAutoscaleReview with a response") from error
    if answered != uid:
        raise ReviewError(f"{url} answered another request than ours")
    if not scale:
        return Decision(None, False, f"{url} leaves it")
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= MAX_REPLICAS:
        raise ReviewError(f"{url} answered {replicas!r:.40} replicas: it must be from 0 to {MAX_REPLICAS}")
    return Decision(replicas, False, f"{url} says {replicas}")
