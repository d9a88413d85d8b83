"""Starts an example server in a process of its own, for a test or a benchmark."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

STOP_S = 5.0


@contextlib.contextmanager
def serving(module: str, *arguments: str) -> Iterator[str]:
    """Serve an example on a free port while the block lasts; yields its address.

    Args:
        module: of ``loadtest.examples``, such as ``plain_matchmaker``.
        arguments: of its command line, besides the port.

    Raises:
        RuntimeError: it did not start.
    """
    command = [sys.executable, "-m", f"loadtest.examples.{module}", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"{module} did not start")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
