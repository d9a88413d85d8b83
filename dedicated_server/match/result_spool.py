"""Results on disk while the meta service is away: one file a match, whole or absent after any crash.

The files have the form of the events' spool (`rewards.events.spool`), with one payload: the match and its
results with their fences, as JSON. The server writes; the fleet of the same machine delivers
(`result_delivery`). Both may commit the same results: a commit that is repeated changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from meta_service.client import PlayerCommit
from rewards.events import spool

FOLDER = "results"  # below the state folder


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

    def write(self, match_id: UUID, results: Sequence[PlayerCommit]) -> None:
        """Keep a match's results, durable when this returns. Raises OSError; then nothing is kept."""
        rows = [(row.player_id, row.fence, row.placement, row.kills, row.played_s) for row in results]
        kept = SpooledResults(match_id, rows, results[0].ended_at if results else None)
        spool.write(self._folder, str(match_id), [msgspec.json.encode(kept)])

    def remove(self, match_id: UUID) -> None:
        """Forget a match's results: they were taken."""
        self._path(match_id).unlink(missing_ok=True)

    def holds(self, match_id: UUID) -> bool:
        """Whether a match's results wait here."""
        return self._path(match_id).exists()

    def claim(self) -> Generator[tuple[spool.Claim, SpooledResults | None], None, None]:
        """Claim each file that nobody else delivers; None for one that cannot be read.

        The claim ends with the next one: complete it before where its results were taken.
        """
        for claim in spool.claim_files(self._folder):
            try:
                yield claim, msgspec.json.decode(claim.events[0], type=SpooledResults)
            except (IndexError, msgspec.MsgspecError) as error:
                claim.damage = claim.damage or str(error)
                yield claim, None

    def _path(self, match_id: UUID) -> Path:
        return self._folder / f"{match_id}{spool.SUFFIX}"
