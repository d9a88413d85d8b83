"""Results on disk while the meta service is away: one file a match, whole or absent after any crash.

The files have the form of the events' spool (`rewards.events.spool`), with one payload: the match and its
results with their fences, as JSON. The server writes; the fleet of the same machine delivers
(`result_delivery`). Both may commit the same results: a commit that is repeated changes nothing.

A file of a newer server may say more than the fleet knows. Players wait for their leases to end, so the fleet
delivers what it knows at once, and the file stays for a fleet that knows all of it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from meta_service.client import PlayerCommit
from rewards.events import spool

FOLDER = "results"  # below the state folder
ROW_FIELDS = 5  # of one player, see `SpooledResults.rows`


class SpooledResults(msgspec.Struct, frozen=True):
    """What a match has to commit.

    Attributes:
        match_id: the match.
        rows: player id, fence, placement, kills and seconds played of each player.
        ended_at: when the match ended (Unix seconds); None in a file of an earlier version.
    """

    match_id: UUID
    rows: list[tuple[int, int, int, int, float]]
    ended_at: float | None = None

    @property
    def commits(self) -> list[PlayerCommit]:
        """The results as the meta service takes them."""
        return [PlayerCommit(*row, self.ended_at) for row in self.rows]


class ResultSpool:
    """The folder of results that nobody has taken yet. Its methods block on the disk.

    Args:
        folder: made when the first results are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left: set[str] = set()  # newer files of which all that is known here was claimed

    def write(self, match_id: UUID, results: Sequence[PlayerCommit]) -> None:
        """Keep a match's results, durable when this returns. Raises OSError; then nothing is kept."""
        rows = [(row.player_id, row.fence, row.placement, row.kills, row.played_s) for row in results]
        kept = SpooledResults(match_id, rows, results[0].ended_at if results else None)
        spool.write(self._folder, str(match_id), [msgspec.json.encode(kept)])

    def remove(self, match_id: UUID) -> None:
        """Forget a match's results: they were taken."""
        for path in self._paths(match_id):
            path.unlink(missing_ok=True)

    def holds(self, match_id: UUID) -> bool:
        """Whether a match's results wait here."""
        return any(path.exists() for path in self._paths(match_id))

    def claim(self) -> Generator[tuple[spool.Claim, SpooledResults | None], None, None]:
        """Claim each file that nobody else delivers; None for one that cannot be read.

        A file that says more than this program knows is claimed once, with what is known (``claim.newer``).
        The claim ends with the next one: complete it before where its results were taken.
        """
        for claim in spool.claim_files(self._folder, self._left):
            try:
                results, claim.newer = _decode(claim.events)
            except (IndexError, msgspec.MsgspecError) as error:
                claim.damage = claim.damage or str(error)
                yield claim, None
            else:
                if claim.newer:
                    self._left.add(claim.path.with_suffix(spool.NEWER_SUFFIX).name)
                yield claim, results

    def _paths(self, match_id: UUID) -> list[Path]:
        return [self._folder / f"{match_id}{suffix}" for suffix in (spool.SUFFIX, spool.NEWER_SUFFIX)]


def _decode(payloads: Sequence[bytes]) -> tuple[SpooledResults, str]:
    """Read a file's results, and say what of it is newer; raises IndexError or MsgspecError."""
    known = SpooledResults.__struct_fields__
    found = msgspec.json.decode(payloads[0], type=dict[str, Any])
    newer = [f"the field {name}" for name in found if name not in known]
    rows = found.get("rows")
    if isinstance(rows, list) and any(isinstance(row, list) and len(row) > ROW_FIELDS for row in rows):
        newer.append(f"rows of more than {ROW_FIELDS} fields")
        found["rows"] = [row[:ROW_FIELDS] if isinstance(row, list) else row for row in rows]
    if len(payloads) > 1:
        newer.append(f"{len(payloads)} payloads")
    return msgspec.convert(found, SpooledResults), ", ".join(newer)
