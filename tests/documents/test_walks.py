"""How many files one of each thing passes, and that docs/architecture.md lists them: a datagram, a ticket, a
kill, a scenario.

``make docs`` writes the tables anew.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from launchday.settings import Settings
from tests.documents.walks_of import walk_datagram, walk_kill, walk_scenario, walk_ticket
from tests.walks import ROOT, Place, Walk, summary, tree

PAGE = ROOT / "docs" / "architecture.md"
RENEW = "RENEW_DOCUMENTS" in os.environ

# 36 while all entities were players: now a message and a kind of entity are tables, clients are told who has
# which slot and how those are, boxes stop bodies by the arithmetic of prediction, and objects fly. 39 before
# players roamed, were told why, had lines that are measured, a reserve of inputs and a say of their own.
MAX_DATAGRAM_FILES = 48
MAX_TICKET_FILES = 57  # 55 before scripts named their keys and the cache had several nodes
MAX_MATCHMAKER_FILES = 32  # 31 before ended sessions were followed; one or two are entered only sometimes
CALLERS_END = ("matchmaker/client.py", "launchday/resilience/http_client.py")
# The server's part, which no other request of the walk needs: the gate itself is passed by all of them.
SERVERS_PART = (
    "launchday/resilience/admission/direct.py",
    "launchday/resilience/admission/exchange_protocol.py",
    "launchday/resilience/request_metrics.py",
)
# A kernel that is called for the first time is loaded, and the limit of clocks' differences is read.
ONCE_A_PROCESS = ("launchday/kernel_locator.py", "launchday/folders.py", "launchday/settings.py")
FORMS_OF_A_TICKET = (  # classes that carry a ticket's round trips
    "matchmaker.messages.TicketRequest",
    "matchmaker.tickets.ticket.Ticket",
    "matchmaker.matching.arrays.Tickets",
    "matchmaker.queue.proposals.MatchProposal",
)
# 35 before the bus and the cache could be a cluster, and players lay in partitions; 41 before a kill named
# its weapon by the mode's card, and its worth was found by the fields of the schema (kinds, XP, tallies).
# One of them (offsets) is entered only sometimes.
MAX_KILL_FILES = 46


async def test_a_datagram_passes_few_files(kernels: None) -> None:
    places = (await walk_datagram()).first_places()
    assert len(places) <= MAX_DATAGRAM_FILES
    check_page("datagram", places)


@pytest.mark.timeout(120)
async def test_a_ticket_passes_few_files(kernels: None, settings: Settings) -> None:
    idle, walk = await walk_ticket(settings)
    elsewhere = (
        "launchday/",
        "dedicated_server/",
        "meta_service/",
        "matchmaker/queue/",
        "matchmaker/director/",
        "matchmaker/api/",
    )
    places = [
        place
        for place in walk.first_places(
            without=idle, below=elsewhere
        )  # all but the matching itself, done or not
        if place.path not in CALLERS_END + ONCE_A_PROCESS + SERVERS_PART
    ]
    assert len([place for place in places if place.path.startswith("matchmaker/")]) <= MAX_MATCHMAKER_FILES
    assert len(places) <= MAX_TICKET_FILES
    check_page("ticket", places)
    forms = {kind for kind, fields in walk.records.items() if {"latency_ms", "latencies_ms"} & set(fields)}
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in forms} == set(FORMS_OF_A_TICKET)
    for form in FORMS_OF_A_TICKET:
        assert f"`{form}`" in PAGE.read_text()


async def test_a_kill_passes_few_files(kernels: None, settings: Settings) -> None:
    places = (await walk_kill(settings)).first_places()
    assert len(places) <= MAX_KILL_FILES
    check_page("kill", places)


@pytest.mark.timeout(180)
def test_a_scenario_passes_the_files_that_the_page_lists(
    kernels: None, settings: Settings, tmp_path: Path
) -> None:
    walk = walk_scenario(settings, tmp_path)
    check_page("scenario", [place for place in walk.first_places() if place.path.startswith("loadtest/")])


@pytest.mark.parametrize("walk", ["datagram", "ticket", "kill", "scenario"])
def test_each_line_of_the_page_is_the_function_that_it_names(walk: str) -> None:
    for place in listed(PAGE.read_text(), walk):
        assert place in definitions(place.path), f"{place} is elsewhere: make docs"


def check_page(walk: str, places: Sequence[Place]) -> None:
    """The page lists every file of a walk; ``make docs`` writes them instead."""
    text = PAGE.read_text()
    if RENEW:
        places = [*places, *_entered_sometimes(listed(text, walk), {place.path for place in places})]
        head, mark, rest = text.partition(f"<!-- walk: {walk} -->\n")
        PAGE.write_text(head + mark + table(places) + rest[len(between(text, walk)) :])
        return
    missing = {place.path for place in places} - {place.path for place in listed(text, walk)}
    assert not missing, f"docs/architecture.md lacks {sorted(missing)}: make docs"


def _entered_sometimes(before: Sequence[Place], entered: set[str]) -> list[Place]:
    """Functions that the page lists and this walk did not enter, where they are now: timing decides."""
    return [
        place
        for old in before
        if old.path not in entered and (ROOT / old.path).exists()
        for place in definitions(old.path)
        if place.name == old.name
    ]


def table(places: Sequence[Place]) -> str:
    """A walk's files in order, each with the first function entered there and what it says of itself."""
    head = "| | file | function | what it does |\n|---|---|---|---|\n"
    return head + "".join(
        f"| {number} | `{place.path}:{place.line}` | `{place.name}` | {summary(place).replace('|', '/')} |\n"
        for number, place in enumerate(places, 1)
    )


def between(text: str, walk: str) -> str:
    """A walk's mark and what stands behind it."""
    found = re.search(rf"(?<=<!-- walk: {walk} -->\n)(.*?)(?=<!-- end -->)", text, re.DOTALL)
    assert found is not None, f"docs/architecture.md has no place for the walk of a {walk}"
    return found[1]


def listed(text: str, walk: str) -> list[Place]:
    """The rows of a walk's table."""
    rows = re.findall(r"^\| \d+ \| `([^`:]+):(\d+)` \| `([^`]+)` \|", between(text, walk), re.MULTILINE)
    return [Place(path, int(line), name) for path, line, name in rows]


def definitions(path: str) -> set[Place]:
    """All functions of a file, where they begin."""
    found: set[Place] = set()

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                line = min([child.lineno, *(each.lineno for each in child.decorator_list)])
                found.add(Place(path, line, outer + child.name))
                visit(child, f"{outer}{child.name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{outer}{child.name}.")
            else:
                visit(child, outer)

    visit(tree(path), "")
    return found


def test_a_walk_counts_each_file_once_and_leaves_out_what_goes_on_anyway() -> None:
    walk, idle = Walk(), Walk()
    first, second, other = Place("a.py", 1, "f"), Place("a.py", 9, "g"), Place("b.py", 1, "h")
    walk.places = dict.fromkeys([first, second, other])
    idle.places = dict.fromkeys([first, other])
    assert walk.first_places() == [first, other]
    assert walk.first_places(without=idle) == [second]
    assert walk.first_places(without=idle, below=("b",)) == [first]
