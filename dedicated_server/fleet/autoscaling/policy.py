"""Policies in Agones' JSON: the ``spec.policy`` of a FleetAutoscaler, or such an object whole.

For example ``{"type": "Buffer", "buffer": {"bufferSize": 5, "minReplicas": 10, "maxReplicas": 20}}``; the
other types are ``Schedule``, ``Chain`` and ``Webhook``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.autoscaling.policies import Buffer, Chain, Cron, Schedule, parse_duration
from dedicated_server.fleet.autoscaling.replicas import MAX_REPLICAS, Decision, Replicas
from dedicated_server.fleet.autoscaling.webhook import Webhook
from launchday import local_time

MAX_DEPTH: Final = 8  # policies within policies


class PolicyError(DedicatedServerError, ValueError):
    """Raised when a document is no policy of Agones'.

    The message says where it is wrong and what it may be there.
    """


@dataclass(frozen=True, slots=True)
class AutoscalerSpec:
    """A policy and the seconds from one question to the next."""

    policy: Policy
    sync_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Our own policy, ``sizing.Sizing``: whoever runs it knows the demand. It decides nothing by itself."""

    def decide(self, _fleet: Replicas, _now: float) -> Decision:
        """Decide nothing: whoever runs the policy measures the demand."""
        return Decision(None, False, "the demand was not measured")


Policy = Buffer | Schedule | Chain | Webhook | Forecast


def parse_policy(document: str | dict[str, Any]) -> AutoscalerSpec:
    """Read a FleetAutoscaler, its spec, or a bare policy, from JSON or from an object; raises PolicyError."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"the policy is no JSON: {error}") from error
    spec = _object(document, "the policy")
    spec = _object(spec.get("spec", spec), "spec")
    sync_s = 1.0
    if "policy" in spec and "type" not in spec:
        sync = _object(spec.get("sync", {}), "sync")
        fixed = _object(sync.get("fixedInterval", {}), "sync.fixedInterval")
        sync_s = float(_whole(fixed, "seconds", "sync.fixedInterval", 1, 86_400, 30 if sync else 1))
        spec = _object(spec["policy"], "policy")
    return AutoscalerSpec(_policy(spec, "policy", 0), sync_s)


def _policy(spec: dict[str, Any], where: str, depth: int) -> Policy:
    kind = spec.get("type")
    if depth > MAX_DEPTH:
        raise PolicyError(f"{where}: policies are nested more than {MAX_DEPTH} deep")
    match kind:
        case "Buffer":
            return _buffer(_object(spec.get("buffer"), f"{where}.buffer"), f"{where}.buffer")
        case "Schedule":
            return _schedule(_object(spec.get("schedule"), f"{where}.schedule"), f"{where}.schedule", depth)
        case "Chain":
            return _chain(spec.get("chain"), f"{where}.chain", depth)
        case "Webhook":
            return _webhook(_object(spec.get("webhook"), f"{where}.webhook"), f"{where}.webhook")
    raise PolicyError(f"{where}.type is {kind!r:.40}: it may be Buffer, Schedule, Chain or Webhook")


def _buffer(spec: dict[str, Any], where: str) -> Buffer:
    sizes = spec.get("bufferSize")
    servers, percent = 0, 0.0
    for size in sizes if isinstance(sizes, list) else [sizes]:
        if isinstance(size, str) and size.endswith("%"):
            percent = max(percent, _percent(size, f"{where}.bufferSize"))
        else:
            servers = max(servers, _whole({"bufferSize": size}, "bufferSize", where, 0, MAX_REPLICAS, None))
    least = _whole(spec, "minReplicas", where, 0, MAX_REPLICAS, 0)
    most = _whole(spec, "maxReplicas", where, 0, MAX_REPLICAS, MAX_REPLICAS)
    if most < least:
        raise PolicyError(f"{where}: maxReplicas {most} is below minReplicas {least}")
    return Buffer(servers, percent, least, most)


def _schedule(spec: dict[str, Any], where: str, depth: int) -> Schedule:
    between = _object(spec.get("between", {}), f"{where}.between")
    period = _object(spec.get("activePeriod", {}), f"{where}.activePeriod")
    try:
        timezone = local_time.zone(period.get("timezone") or "UTC")
    except local_time.LocalTimeError as error:
        raise PolicyError(f"{where}.activePeriod.timezone: {error}") from error
    try:
        cron = period.get("startCron") or ""
        starts = Cron.parse(cron) if isinstance(cron, str) and cron else None
        duration_s = parse_duration(str(period.get("duration") or ""))
    except ValueError as error:
        raise PolicyError(f"{where}.activePeriod: {error}") from error
    return Schedule(
        policy=_policy(_object(spec.get("policy"), f"{where}.policy"), f"{where}.policy", depth + 1),
        start=_moment(between.get("start"), f"{where}.between.start", 0.0),
        end=_moment(between.get("end"), f"{where}.between.end", math.inf),
        starts=starts,
        duration_s=duration_s,
        timezone=timezone,
    )


def _chain(links: Any, where: str, depth: int) -> Chain:
    if not isinstance(links, list) or not links:
        raise PolicyError(f"{where} must be a list of at least one policy")
    found = []
    for at, link in enumerate(links):
        spec = _object(link, f"{where}[{at}]")
        found.append((str(spec.get("id") or f"{at}"), _policy(spec, f"{where}[{at}]", depth + 1)))
    return Chain(tuple(found))


def _webhook(spec: dict[str, Any], where: str) -> Webhook:
    url = spec.get("url")
    service = spec.get("service")
    if url is None and isinstance(service, dict):
        port, path = service.get("port") or 8000, str(service.get("path") or "").lstrip("/")
        url = f"http://{service.get('name')}.{service.get('namespace') or 'default'}.svc:{port}/{path}"
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise PolicyError(f"{where}.url is {url!r:.60}: it must be an http:// or https:// address")
    return Webhook(url)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be a JSON object")
    return value


def _whole(spec: dict[str, Any], key: str, where: str, least: int, most: int, default: int | None) -> int:
    value = spec.get(key, default)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PolicyError(f"{where}.{key} is {value!r:.40}: it must be a whole number from {least} to {most}")
    return value


def _percent(text: str, where: str) -> float:
    try:
        percent = float(text[:-1])
    except ValueError:
        percent = math.nan
    if not 0.0 < percent < 100.0:
        raise PolicyError(f"{where} is {text!r:.40}: a percentage must be above 0% and below 100%")
    return percent


def _moment(text: Any, where: str, default: float) -> float:
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"{where} is {text!r:.40}: write it like 2026-12-24T18:00:00Z") from error


__all__ = ["AutoscalerSpec", "Decision", "Policy", "PolicyError", "Replicas", "parse_policy"]
