"""Plays one match of a folder's mode and leaves its trace: ``python -m loadtest.headless FOLDER …``.

A process of its own, because whether kernels are compiled is settled when numba is imported. With
``NUMBA_DISABLE_JIT=1`` the hooks run as plain Python, and a mistake has the line at which it is made.
The answer is one JSON object on standard output: the result, or ``error``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dedicated_server.cards import ModeCard, read_card
from dedicated_server.errors import DedicatedServerError
from dedicated_server.modes.hooks_error import error_of_python, has_part_in
from dedicated_server.modes.loading import hook_names
from launchday import startup
from loadtest.headless.match import HeadlessMatch
from loadtest.headless.result import result_of
from loadtest.headless.trace import Recorder


def main(arguments: list[str] | None = None) -> int:
    """Play, and print what came of it; returns 0, or 2 where the mode is wrong."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.headless", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--players", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, required=True)
    asked = parser.parse_args(arguments)
    try:
        card = read_card(asked.folder)
        found = play(card, asked.players, asked.seed, asked.seconds, asked.trace)
    except DedicatedServerError as error:
        print(json.dumps({"error": str(error)}))
        return 2
    print(json.dumps(found))
    return 0


def play(card: ModeCard, players: int, seed: int, match_s: float, trace: Path) -> dict[str, Any]:
    """Play a match, save its trace and return its result with the names of the mode's hooks.

    Raises HooksError, also for what a hook raises in plain Python.
    """
    hooks = hook_names(card)
    try:
        headless = HeadlessMatch(card, players, seed, match_s)
        recorder = Recorder(headless.match)
        for _ in headless.play():
            recorder.note_tick()
        kept = recorder.trace()
        kept.save(trace)
        return {"hooks": hooks, **result_of(card, headless.match, kept), "hash": kept.digest}
    except DedicatedServerError:
        raise
    except Exception as error:
        if not has_part_in(card.folder, error):
            raise  # a mistake of ours: its traceback
        raise error_of_python(card.hooks, card.folder, error) from error


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
