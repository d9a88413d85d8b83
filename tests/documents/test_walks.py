"""How many files one of each thing passes: a datagram, a ticket, a kill, a scenario."""

from __future__ import annotations

from launchday.settings import Settings
from tests.documents.walks_of import walk_datagram, walk_kill

MAX_DATAGRAM_FILES = 36
MAX_KILL_FILES = 29


async def test_a_datagram_passes_few_files(kernels: None) -> None:
    files = (await walk_datagram()).files()
    print(*files, sep="\n")
    assert len(files) <= MAX_DATAGRAM_FILES


async def test_a_kill_passes_few_files(kernels: None, settings: Settings) -> None:
    files = (await walk_kill(settings)).files()
    print(*files, sep="\n")
    assert len(files) <= MAX_KILL_FILES
