"""A game server that is not ours: the command of the settings, which takes the place of the forked process.

The process keeps its id, so its parent reaps and signals it as any of its children, and ends it with itself.
"""

from __future__ import annotations

import os
import shlex
import signal

from launchday.settings import settings


def warm_up() -> None:
    """Read the settings; there is nothing to warm in a program of somebody else's."""
    settings()


def main() -> int:
    """Become the command. Raises OSError where it cannot be run: the fleet starts another server then."""
    words = shlex.split(settings().game_server_command)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is ignored would stay so
    os.execvp(words[0], words)
