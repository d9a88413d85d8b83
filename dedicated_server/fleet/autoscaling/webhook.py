"""Agones' Webhook policy: its question and its answer. Whoever runs the policy asks, because that takes time.

The question is a FleetAutoscaleReview with a ``request``; the answer is the same object with a ``response``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.autoscaling.replicas import MAX_REPLICAS, Decision, Replicas


class ReviewError(DedicatedServerError, ValueError):
    """Raised when a review is not Agones'.

    The message says what is wrong; a webhook's answer is then ignored.
    """


@dataclass(frozen=True, slots=True)
class Review:
    """A question."""

    uid: str
    fleet_name: str
    fleet: Replicas


@dataclass(frozen=True, slots=True)
class Webhook:
    """The policy: ask at ``url``. It decides nothing by itself."""

    url: str

    def decide(self, _fleet: Replicas, _now: float) -> Decision:
        """Decide nothing: whoever runs the policy asks the webhook."""
        return Decision(None, False, f"{self.url} was not asked")


def question(uid: str, name: str, namespace: str, fleet: Replicas) -> dict[str, Any]:
    """Return the review to post."""
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
    """Return the review with its response."""
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
        return Decision(None, False, f"{url} leaves it as it is")
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= MAX_REPLICAS:
        raise ReviewError(f"{url} answered {replicas!r:.40} replicas: it must be from 0 to {MAX_REPLICAS}")
    return Decision(replicas, False, f"{url} says {replicas}")
