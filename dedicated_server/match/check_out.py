"""The check-out at the start of a match: the server leases its players, as soon as the meta service lets it.

A meta service that is late is waited for, and meanwhile the server reports that it is starting, so that
nobody takes it for dead: another server would wait for the same meta service. No player comes before the
check-out, and the time in which they have to come begins after it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from dedicated_server.errors import DedicatedServerError
from dedicated_server.match.early_commits import MetaService
from dedicated_server.match.spec import MatchSpec
from launchday.clock import Clock
from launchday.resilience import pauses
from meta_service.client import (
    CheckoutRefusal,
    CheckoutResponse,
    MetaClientError,
    MetaRefusedError,
    MetaUnavailableError,
)

RETRY_S = 0.25
REPORT_AFTER_S = 0.5  # a check-out takes some milliseconds: most servers never say that they are starting
REPORT_PERIOD_S = 1.0
MAX_REASONS = 3  # of refused players that a report names

log = structlog.get_logger()


class MatchFailedError(DedicatedServerError):
    """Raised when a match cannot go on. The match is ended, and its report carries the message."""


class EveryPlayerRefusedError(MatchFailedError):
    """Raised when none of a match's ``players`` could be leased. The message says why."""

    def __init__(self, players: int, reasons: str) -> None:
        super().__init__(f"check-out: every player was refused ({reasons})")
        self.players = players


class MatchTakenBackError(DedicatedServerError):
    """Raised when the match was given up, and its players go elsewhere. The server ends itself."""


class CheckOut:
    """Checks the players of one match out.

    Args:
        spec: the match.
        server: this server's name.
        meta: leases players.
        report_starting: says that the server lives and is starting.
        clock: waits between two attempts.
    """

    def __init__(
        self,
        spec: MatchSpec,
        server: str,
        meta: MetaService,
        report_starting: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._server = server
        self._meta = meta
        self._report_starting = report_starting
        self._clock = clock

    async def run(self, lease_s: float, timeout_s: float) -> CheckoutResponse:
        """Lease the players for ``lease_s`` seconds; return who was leased and who was refused.

        Time for which this process was stopped does not count to ``timeout_s``. Raises MatchFailedError where
        the meta service refuses, leases nobody, or does not answer in time, and MatchTakenBackError where it
        says that the match was given up.
        """
        reporting = asyncio.create_task(self._report(), name="starting")
        last: Exception | None = None
        try:
            async with pauses.timeout(timeout_s):
                while True:
                    try:
                        return self._checked(await self._ask(lease_s))
                    except MetaRefusedError as error:
                        if error.kind == "match-closed":
                            raise MatchTakenBackError("the match was given up") from error
                        raise MatchFailedError(f"check-out: refused by the meta service: {error}") from error
                    except MetaClientError as error:
                        log.warning("the meta service does not answer", during="check-out", reason=str(error))
                        last = error
                    await self._clock.sleep(_pause_s(last))
        except TimeoutError:
            raise MatchFailedError(
                f"check-out: no answer from the meta service in {timeout_s:g} s: {last}"
            ) from last
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    def _ask(self, lease_s: float) -> Awaitable[CheckoutResponse]:
        spec = self._spec
        players = [entry.player_id for entry in spec.players]
        return self._meta.check_out(spec.match_id, self._server, spec.region, lease_s, players)

    def _checked(self, answer: CheckoutResponse) -> CheckoutResponse:
        for refusal in answer.refused:
            log.warning(
                "check-out refused",
                player_id=refusal.player_id,
                reason="banned" if refusal.banned else refusal.reason,
                held_by=refusal.held_by,
            )
        if not answer.checked_out:
            raise EveryPlayerRefusedError(len(answer.refused), _refusals(answer.refused))
        return answer

    async def _report(self) -> None:
        await self._clock.sleep(REPORT_AFTER_S)
        while True:
            await self._report_starting()
            await self._clock.sleep(REPORT_PERIOD_S)


def _pause_s(error: Exception) -> float:
    """Return the seconds to wait before the next attempt: those that the meta service asked for, if any."""
    asked_for_s = error.retry_after_s if isinstance(error, MetaUnavailableError) else None
    return max(RETRY_S, asked_for_s or 0.0)


def _refusals(refused: Sequence[CheckoutRefusal]) -> str:
    """Say why players were refused, the commonest reason first: ``checked-out by west-europe-7: 9``."""
    reasons = Counter(
        f"{refusal.reason} by {refusal.held_by}"
        if refusal.held_by
        else ("banned" if refusal.banned else refusal.reason)
        for refusal in refused
    )
    return ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common(MAX_REASONS))
