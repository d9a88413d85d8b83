"""``modes``: a hundred matches of capture the flag without a network; both sides have to score and win."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from dedicated_server.cards import shipped_cards
from dedicated_server.modes.loading import load_goals, load_mode
from loadtest.headless.series import play_series

FAIR_SHARE: Final = (0.38, 0.62)  # of the wins of either side: of 100 even matches one in 70 is outside


def run(matches: int = 100, seed: int = 1, jobs: int | None = None) -> dict[str, Any]:
    """Play them.

    Args:
        matches: how many, with seeds counted up.
        seed: of the first.
        jobs: processes to use; None: one a core.

    Returns:
        What is printed: as `series.play_series` has it, the seconds that a match took on one core, and
        whether captures of both sides are more than none and the wins of each within `FAIR_SHARE`
        (``fair``).
    """
    card = shipped_cards()["capture_the_flag"]
    load_mode(card)
    load_goals(card)
    jobs = jobs or os.cpu_count() or 1
    begun = time.perf_counter()
    found = play_series(card, matches, seed, jobs)
    spent_s = time.perf_counter() - begun
    captures = found["score"]["captures"]
    low, high = FAIR_SHARE
    return {
        **found,
        "match_cost_s": round(spent_s * min(jobs, matches) / matches, 2),
        "fair": min(captures) > 0 and all(low <= share <= high for share in found["win_share"]),
    }
