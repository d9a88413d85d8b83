"""The autoscaler: it asks each region's policy at its interval, and sets how many idle servers are wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, PolicyOverrides
from dedicated_server.fleet.autoscaling import webhook
from dedicated_server.fleet.autoscaling.policies import Buffer, Chain, Schedule
from dedicated_server.fleet.autoscaling.policy import AutoscalerSpec, Forecast, Policy
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.autoscaling.webhook import ReviewError, Webhook
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.gameserver import NAMESPACE
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.region import Region
from launchday.clock import Clock
from launchday.resilience.http_client import NoAnswerError, ServiceClient

MAX_DECISIONS = 200  # decisions of a region that changed something
WEBHOOK_PATIENCE_S = 2.0

log = structlog.get_logger()


class RegionAutoscaler:
    """One region's policy, and what it decided.

    Attributes:
        region: the region that is scaled.
        autoscaler: its policy and interval.
        decisions: the decisions that changed something, the newest last.
        last: the newest decision, whether it changed anything or not.
        due: monotonic seconds of the next decision.
    """

    def __init__(self, region: Region, autoscaler: AutoscalerSpec) -> None:
        self.region = region
        self.autoscaler = autoscaler
        self.decisions: deque[dict[str, Any]] = deque(maxlen=MAX_DECISIONS)
        self.last: dict[str, Any] = {}
        self.due = 0.0

    def apply(self, decision: Decision, fleet: Replicas, max_servers: int, at: float) -> bool:
        """Set the idle servers that are wanted, and return whether their number changed.

        Args:
            decision: what the policy decided.
            fleet: the region's servers.
            max_servers: limit on its idle servers.
            at: Unix seconds.
        """
        if decision.replicas is None:
            idle = self.region.idle_wanted
        else:
            idle = max(0, decision.replicas - fleet.allocated - fleet.reserved)
            if idle > max_servers:
                idle, decision = (
                    max_servers,
                    replace(decision, limited=True, reason=f"{decision.reason}; {max_servers} at most here"),
                )
        changed = idle != self.region.idle_wanted
        self.last = {
            "at": at,
            "region": self.region.name,
            "idle_before": self.region.idle_wanted,
            "idle": idle,
            "replicas": idle + fleet.allocated + fleet.reserved,
            "limited": decision.limited,
            "reason": decision.reason,
        }
        self.region.idle_wanted = idle
        metrics.observe_decision(
            self.region.name, idle, self.last["replicas"], fleet.replicas, decision.limited
        )
        if changed:
            self.decisions.append(self.last)
        return changed


class FleetAutoscaler:
    """All regions' autoscalers.

    Args:
        pool: what is scaled.
        autoscalers: the policy that each region begins with.
        clock: intervals are monotonic; policies and stamps are given wall time.
        http: asks webhooks, by their absolute URLs and without a token of ours.
        overrides: the policies that operators have set; they replace the configured one.
        forecast: decides by the demand, for a region, its servers and monotonic seconds, where a policy is
            Forecast; None: such a policy changes nothing.
    """

    def __init__(
        self,
        pool: WarmPool,
        autoscalers: Mapping[str, AutoscalerSpec],
        clock: Clock,
        http: ServiceClient,
        overrides: PolicyOverrides,
        forecast: Callable[[str, Replicas, float], Decision] | None = None,
    ) -> None:
        self.overrides = overrides
        self._configured = autoscalers
        self._forecast = forecast
        ordered = {name: overrides.get(name) for name in pool.regions}
        self.regions = {
            name: RegionAutoscaler(
                region, autoscalers[name] if (order := ordered[name]) is None else order.autoscaler
            )
            for name, region in pool.regions.items()
        }
        self._pool = pool
        self._clock = clock
        self._http = http

    async def run(self, tick_s: float = 0.25) -> None:
        """Decide for each region at its interval, until cancelled; looks every ``tick_s``."""
        while True:
            now = self._clock.monotonic()
            due = [name for name, one in self.regions.items() if now >= one.due]
            await asyncio.gather(*map(self.decide, due))
            await self._clock.sleep(tick_s)

    async def decide(self, name: str) -> None:
        """Ask the policy of one region now, and set what it decides."""
        one, now, at = self.regions[name], self._clock.monotonic(), self._clock.wall()
        one.due = now + one.autoscaler.sync_s
        fleet = one.region.replicas(now)
        decision = await self._ask(one.autoscaler.policy, name, fleet, at)
        fleet = one.region.replicas(now)  # matches may have begun while a webhook was asked
        if one.apply(decision, fleet, one.region.max_servers, at):
            self._pool.changes.publish(
                "decision", at, **{name: value for name, value in one.last.items() if name != "at"}
            )
            self._pool.fill(now)

    async def override_policy(self, name: str, override: PolicyOverride | None) -> dict[str, Any]:
        """Give a region an operator's policy, or with None the configured one; return its first decision.

        The override is on disk before it takes effect. Raises PolicyError, OSError.
        """
        autoscaler = self._configured[name] if override is None else override.autoscaler
        self.overrides.set(name, override)
        self.regions[name].autoscaler = autoscaler
        await self.decide(name)
        return self.regions[name].last

    async def _ask(self, policy: Policy, name: str, fleet: Replicas, at: float) -> Decision:
        match policy:
            case Webhook():
                return await self._ask_webhook(policy.url, name, fleet)
            case Chain():
                reason = "no link of the chain applies now"
                for link, inner in policy.links:
                    decision = await self._ask(inner, name, fleet, at)  # type: ignore[arg-type]
                    if decision.replicas is not None:
                        return replace(decision, reason=f"{link}: {decision.reason}")
                    if isinstance(inner, Webhook):
                        reason = f"{link}: {decision.reason}"
                return Decision(None, False, reason)
            case Schedule():
                if policy.active(at):
                    return await self._ask(policy.policy, name, fleet, at)  # type: ignore[arg-type]
                return Decision(None, False, "not scheduled now")
            case Buffer():
                return policy.decide(fleet, at)
            case Forecast():
                if self._forecast is None:
                    return policy.decide(fleet, at)
                return self._forecast(name, fleet, self._clock.monotonic())

    async def _ask_webhook(self, url: str, name: str, fleet: Replicas) -> Decision:
        """Ask a webhook. One that gives no usable answer changes nothing, and the decision says so."""
        uid = str(self._clock.uuid())
        try:
            response = await self._http.request(
                "POST",
                url,
                json=webhook.question(uid, name, NAMESPACE, fleet),
                patience_s=WEBHOOK_PATIENCE_S,
                retry=False,  # it is asked again at the policy's next interval
            )
            if not response.is_success:
                raise ReviewError(f"{url} answered HTTP {response.status_code}")
            return webhook.read_answer(response.json(), uid, url)
        except (NoAnswerError, ReviewError, ValueError) as error:
            log.warning("an autoscaling webhook gave no answer", region=name, url=url, error=str(error))
            return Decision(None, False, f"{url} gave no answer ({type(error).__name__}): left as it is")
