"""``launchday mode test``: a match of a mode as plain Python, then compiled, and whether they agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dedicated_server.cards import ModeCard
from loadtest.errors import LoadTestError
from loadtest.headless.trace import Difference, Trace, first_difference

MATCH_S: Final = 60.0
LIMIT_S: Final = 300.0  # of one play: a hook that loops for ever is not waited for
PLAIN: Final = {"NUMBA_DISABLE_JIT": "1"}


class TrialError(LoadTestError):
    """Raised when a mode cannot be played: its hooks are wrong. The text is one line with file and line.

    Attributes:
        exit_code: of a command that finds it out.
    """

    exit_code = 2


@dataclass(frozen=True)
class Trial:
    """What the two plays of a match came to.

    Attributes:
        plain: the result of the match as plain Python, as `result.result_of` has it, with ``hooks`` and
            ``hash``.
        compiled: the same, compiled.
        difference: where they part; None: nowhere.
    """

    plain: dict[str, Any]
    compiled: dict[str, Any]
    difference: Difference | None

    @property
    def identical(self) -> bool:
        """Whether both have one hash: every number of every tick is the same to the last bit."""
        return bool(self.plain["hash"] == self.compiled["hash"])


def try_mode(
    card: ModeCard,
    seed: int = 1,
    match_s: float = MATCH_S,
    on_plain: Callable[[dict[str, Any]], None] = lambda result: None,
) -> Trial:
    """Play a match of the card's smallest size both ways.

    Args:
        card: of the mode.
        seed: of the match and its bots.
        match_s: how long it lasts at most.
        on_plain: is given the result of the plain play, which comes first.

    Raises:
        TrialError: the hooks do not import, do not compile, raise, or do not end.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-mode-") as folder:
        traces = Path(folder, "plain.npz"), Path(folder, "compiled.npz")
        plain = _play(card, seed, match_s, traces[0], PLAIN)
        on_plain(plain)
        compiled = _play(card, seed, match_s, traces[1], {})
        difference = first_difference(Trace.load(traces[0]), Trace.load(traces[1]))
    return Trial(plain, compiled, difference)


def _play(
    card: ModeCard, seed: int, match_s: float, trace: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """Play in a process of its own."""
    command = [sys.executable, "-m", "loadtest.headless", str(card.folder.resolve())]
    command += ["--players", str(card.players_min), "--seed", str(seed), "--seconds", str(match_s)]
    command += ["--trace", str(trace)]
    surroundings = {name: value for name, value in os.environ.items() if name not in PLAIN}
    try:
        done = subprocess.run(
            command, env={**surroundings, **environment}, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        what = "in plain Python" if environment else "compiled"
        reason = f"a match of {match_s:g} s does not end within {LIMIT_S:g} s {what}"
        raise TrialError(f"{card.hooks}: {reason}: is there a loop without an end?") from error
    answer = _answer(done)
    if "error" in answer:
        raise TrialError(answer["error"])
    return answer


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise TrialError(f"the match was not played: {last}") from None
    return answer
