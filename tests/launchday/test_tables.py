"""Tables at any width: every figure is there, in one piece."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from launchday.tables import BETWEEN
from launchday.terminal import Terminal, table

WIDTHS = (30, 40, 60, 80, 132)
NUMBERS = ("connected", "alive", "tick p50", "tick p99", "kbit/s")
SERVERS = {
    "west-europe-3e236971": ("100", "98", "0.49 ms", "1.31 ms", "3,112"),
    "east-us-77aa0192": ("1,024", "1,000", "12.06 ms", "16.92 ms", "31,120"),
}
CORES = "servers 0.09  services 0.06  engines 0.03  others 0.00  generator 0.12"


def lines_of(shown: Table, width: int | None) -> list[str]:
    text = io.StringIO()
    Terminal(file=text, width=width).print(shown)
    return text.getvalue().splitlines()


def filled(shown: Table) -> Table:
    for name, figures in SERVERS.items():
        shown.add_row(name, *figures)
    return shown


def broken(lines: list[str], figures: list[str], width: int) -> list[str]:
    """What is on no line whole, though a line has room for it; and lines that are too long."""
    return [each for each in figures if not any(each in line for line in lines)] + [
        line for line in lines if len(line.rstrip()) > width
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("boxed", [True, False])
def test_every_figure_is_whole_at_any_width(width: int, boxed: bool) -> None:
    figures = [*SERVERS, *(figure for each in SERVERS.values() for figure in each)]
    shown = filled(table("game server", *NUMBERS, right=NUMBERS, boxed=boxed))
    assert broken(lines_of(shown, width), figures, width) == []


def test_a_plain_table_at_sixty_columns_breaks_figures() -> None:
    """What `FoldingTable` is for: the check above finds it."""
    plain = filled(Table("game server", *NUMBERS))
    assert broken(lines_of(plain, 60), [figure for each in SERVERS.values() for figure in each], 60)


def test_a_row_that_does_not_fit_is_a_list_of_headings_with_their_figures() -> None:
    shown = filled(table("game server", *NUMBERS, title="servers", right=NUMBERS, boxed=False))
    assert lines_of(shown, 50)[:4] == [
        "servers",
        "west-europe-3e236971",
        "  connected 100  alive 98  tick p50 0.49 ms",
        "  tick p99 1.31 ms  kbit/s 3,112",
    ]


def test_a_row_without_a_name_begins_with_its_first_figure() -> None:
    headings = ("fleet.buffer", "wait p95", "cost")
    shown = table(*headings, right=headings)
    shown.add_row("200", "9.1 ± 0.2", Text("412.1 ± 3", "green"), style="bold")
    assert lines_of(shown, 30) == ["fleet.buffer 200", "  wait p95 9.1 ± 0.2", "  cost 412.1 ± 3"]


@pytest.mark.parametrize("width", [40, 60])
def test_a_long_cell_is_folded_between_its_groups(width: int) -> None:
    shown = table("figure", "value", header=False, boxed=False)
    shown.add_row("cores", CORES)
    assert broken(lines_of(shown, width), CORES.split(BETWEEN), width) == []


def test_a_line_is_folded_between_its_words_on_a_terminal_alone() -> None:
    line = f"others used 86% of the machine (1.72 of 2 cores), {CORES}"
    shown = {}
    for terminal in (True, False):
        text = io.StringIO()
        Terminal(file=text, width=60, force_terminal=terminal).print(line)
        shown[terminal] = text.getvalue().splitlines()
    assert len(shown[True]) > 1
    assert broken(shown[True], line.split(), 60) == []
    assert shown[False] == [line]


def test_no_blanks_fill_the_last_cell_of_a_piped_row() -> None:
    shown = table("figure", "value", header=False, boxed=False)
    shown.add_row("wait", "p50 1.2 s")
    shown.add_row("left out", "links: no datagrams are sent, so of a link its latency alone counts")
    assert all(line == line.rstrip() for line in lines_of(shown, None))


def test_what_goes_to_no_terminal_is_one_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = table("figure", "value", header=False, boxed=False)
    shown.add_row("cores", f"{CORES}  {CORES}  {CORES}")
    assert [line.rstrip() for line in lines_of(shown, None)] == [f"cores  {CORES}  {CORES}  {CORES}"]


@given(
    width=st.integers(1, 90),
    rows=st.lists(st.lists(st.text("ab1 .é界", max_size=12), min_size=3, max_size=3), max_size=3),
    boxed=st.booleans(),
    header=st.booleans(),
)
def test_no_table_loses_a_character_at_any_width(
    width: int, rows: list[list[str]], boxed: bool, header: bool
) -> None:
    shown = table("name", "of", "x", right=("x",), boxed=boxed, header=header)
    for row in rows:
        shown.add_row(*row)
    text = "".join(lines_of(shown, width))
    for character in "b1é" + ("界" if width > 20 else ""):
        assert text.count(character) == sum(row_cell.count(character) for row in rows for row_cell in row)
