"""Delivers spooled results: the fleet does so, since the server that wrote them has ended.

What a late result is worth is not decided here: the meta service takes it where its fence still counts, and
says ``stale-fence`` where the player was checked out anew meanwhile, or the match was closed.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter

from dedicated_server.match.result_spool import ResultSpool
from launchday.clock import Clock
from meta_service.client import CommitResponse, MetaClientError, MetaRefusedError, PlayerCommit

LOOK_PERIOD_S = 1.0  # between two looks at the folder, which is nearly always empty: some 20 µs each
MAX_RETRY_S = 5.0  # between two attempts while the meta service is away
REMEMBERED = (
    1000  # matches whose results were delivered: longer than the fleet takes to see their servers end
)

RESULTS_DELIVERED = Counter(
    "launchday_fleet_results_delivered", "Results of players, spooled by game servers, that were taken."
)
RESULTS_REFUSED = Counter(
    "launchday_fleet_results_refused", "Spooled results of players that the meta service refused as too late."
)
RESULTS_NEWER = Counter(
    "launchday_fleet_results_newer",
    "Files of results that say more than this fleet knows: delivered as far as it does, and kept.",
)

log = structlog.get_logger()


class CommitService(Protocol):
    """The meta service, as a delivery needs it."""

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        """Commit results. Raises MetaClientError."""


class ResultDelivery:
    """Delivers the results of one folder, until its task is cancelled.

    Args:
        spool: the folder.
        meta: takes the results.
        clock: paces the looks, and runs what blocks on the disk in a thread.
    """

    def __init__(self, spool: ResultSpool, meta: CommitService, clock: Clock) -> None:
        self._spool, self._meta, self._clock = spool, meta, clock
        self._delivered: OrderedDict[UUID, None] = OrderedDict()

    def has_results(self, match_id: UUID) -> bool:
        """Whether a match was played to its end, though its server could not say so: its results are here,
        or were.
        """
        return match_id in self._delivered or self._spool.holds(match_id)

    async def run(self) -> None:
        """Deliver what there is and what comes; outages of the meta service and the disk are waited out."""
        retry_s = LOOK_PERIOD_S
        while True:
            try:
                await self.deliver()
                retry_s = LOOK_PERIOD_S
            except (MetaClientError, OSError) as error:
                log.warning("results are not delivered yet", reason=str(error), retry_in_s=retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)
            await self._clock.sleep(retry_s)

    async def deliver(self) -> None:
        """Deliver every file that is there now. Raises MetaUnavailableError, or OSError of the disk.

        A file that cannot be read, or that the meta service cannot understand, is renamed for a person to
        look at, and the others are delivered.
        """
        claims = self._spool.claim()
        try:
            while (claimed := await self._clock.run_in_thread(next, claims, None)) is not None:
                claim, results = claimed
                if results is not None:
                    try:
                        self._count(
                            results.match_id, await self._meta.commit(results.match_id, results.commits)
                        )
                    except MetaRefusedError as error:
                        if error.status in (401, 403, 429):  # of us, not of the results: wait
                            raise
                        claim.damage = str(error)
                if claim.newer and not claim.damage:
                    RESULTS_NEWER.inc()
                    log.warning(
                        "results say more than this fleet knows: the file is kept for a newer one",
                        file=claim.path.name,
                        newer=claim.newer,
                    )
                if claim.damage:
                    log.error("results cannot be delivered", file=claim.path.name, reason=claim.damage)
                await self._clock.run_in_thread(claim.complete)
        finally:
            with contextlib.suppress(ValueError):  # a thread is in it still: this process is being ended
                claims.close()

    def _count(self, match_id: UUID, answer: CommitResponse) -> None:
        self._delivered[match_id] = None
        while len(self._delivered) > REMEMBERED:
            self._delivered.popitem(last=False)
        RESULTS_DELIVERED.inc(len(answer.committed))
        RESULTS_REFUSED.inc(len(answer.refused))
        for refusal in answer.refused:
            log.error(
                "spooled result refused",
                match_id=str(match_id),
                player_id=refusal.player_id,
                reason=refusal.reason,
            )
        log.info("spooled results delivered", match_id=str(match_id), committed=len(answer.committed))
