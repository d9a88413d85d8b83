"""A process that is forked as a game server becomes the command of the settings, and keeps its id."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

BECOME = """
import os, sys
from dedicated_server.fleet.warm import command_server
command_server.warm_up()
print(os.getpid(), flush=True)
command_server.main()
"""


def test_the_process_becomes_the_command_with_its_words_and_its_sidecars_port() -> None:
    show = "import os, sys; print(os.getpid(), os.environ['AGONES_SDK_HTTP_PORT'], sys.argv[1:])"
    command = shlex.join([sys.executable, "-c", show, "two words", "x"])
    environment = {**os.environ, "LAUNCHDAY_GAME_SERVER_COMMAND": command, "AGONES_SDK_HTTP_PORT": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", BECOME], env=environment, capture_output=True, text=True, check=True
    )
    before, after = done.stdout.splitlines()
    assert after == f"{before} 4711 ['two words', 'x']"
