"""What spool files hold is sent again; what this program cannot send stays on the disk.

A game server of a newer version may have left events of kinds that this program does not know, whose topic
and key only that version can tell. They go into a file of their own and wait there for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from launchday.clock import Clock
from rewards.errors import BadEventError
from rewards.events import events_pb2 as pb
from rewards.events import spool
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.parse import ReadEvent

MAX_EVENTS_PER_SEND = 500  # delivered and acknowledged together
_NO_KEYS = (b"", b"0")

log = structlog.get_logger()


class SpoolResend:
    """Sends what lies in a folder of spool files, also what other processes have left there.

    Args:
        folder: of the spool files.
        record_of: makes the record of an event with these bytes; raises BadEventError where it has no route.
        read: reads an event, and tells what of it is newer than this program.
        clock: runs what blocks on the disk in a thread.

    Attributes:
        newer: the number of events that this process has met there and left to a program that knows more.
    """

    def __init__(
        self,
        folder: Path,
        record_of: Callable[[pb.Envelope, bytes], KafkaRecord],
        read: ReadEvent,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._record_of = record_of
        self._read = read
        self._clock = clock
        self._left: set[str] = set()  # newer files that have nothing for this program
        self.newer = 0

    async def send(self, sender: KafkaSender, count: Callable[[int], object]) -> None:
        """Send all that is there. Each file is deleted once all that was in it is acknowledged, or kept.

        Args:
            sender: connected to the broker.
            count: is told how many events were acknowledged, after each send.

        Raises BusUnavailableError; OSError.
        """
        claims = spool.claim_files(self._folder, self._left)
        while (claim := await self._clock.run_in_thread(next, claims, None)) is not None:
            if claim.damage:
                log.error("events_spool_damaged", file=claim.path.name, damage=claim.damage)
            records, newer, bad = self._sort(claim)
            refused: list[bytes] = []
            for start in range(0, len(records), MAX_EVENTS_PER_SEND):
                chunk = records[start : start + MAX_EVENTS_PER_SEND]
                too_large = await sender.send(chunk)
                refused += [chunk[place].value for place in too_large]
                count(len(chunk) - len(too_large))
            await self._clock.run_in_thread(self._finish, claim, newer, [*bad, *refused])
            log.info("events_spool_resent", file=claim.path.name, events=len(records) - len(refused))

    def _sort(self, claim: spool.Claim) -> tuple[list[KafkaRecord], list[bytes], list[bytes]]:
        """Part events into those that can be sent, those that are newer, and those that are none."""
        records: list[KafkaRecord] = []
        newer: list[bytes] = []
        bad: list[bytes] = []
        causes: set[str] = set()
        for data in claim.events:
            part = ""
            try:
                envelope, part = self._read(data)
                record = self._record_of(envelope, data)
                if part and record.key in _NO_KEYS:  # the field that it is keyed by may be another one now
                    raise BadEventError("it has no key")
                records.append(record)
            except BadEventError as error:
                (newer if part else bad).append(data)
                if not part:
                    log.error("events_spool_bad_event", file=claim.path.name, reason=str(error))
                causes.add(part)
        if newer:
            log.warning(
                "events_spool_newer_kept",
                file=claim.path.name,
                events=len(newer),
                newer=max(causes),
                next_step="a server that knows them sends them",
            )
        return records, newer, bad

    def _finish(self, claim: spool.Claim, newer: list[bytes], bad: list[bytes]) -> None:
        """Put aside what was not sent, and only then delete the file that it was in."""
        name = claim.path.stem
        if bad:
            spool.write(self._folder, f"{name}-unsent", bad, spool.DAMAGED_SUFFIX)
        if newer and (len(newer) < len(claim.events) or claim.path.suffix != spool.NEWER_SUFFIX):
            kept = spool.write(self._folder, name, newer, spool.NEWER_SUFFIX)
        else:
            kept = claim.path
        if newer:
            self.newer += len(newer)
            self._left.add(kept.name)
        if not newer or kept != claim.path:
            claim.complete()
