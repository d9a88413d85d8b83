"""The pieces that every HTML page of the load test is made of; a page is one file that loads nothing.

A page is a verdict, figures and cards; a card holds text, a table or a plot. The templates in ``template/``
hold all markup and escape whatever is put into them, so a player, a server or a scenario cannot write markup.
The report of a flood (``run_page``), the comparison of two runs (``compare``) and the simulator's pages are
made of these.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import plotly.graph_objects as go
import yaml
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from launchday.escapes import CONTROLS_IN_LINES, escaped
from loadtest.scenario.model import Scenario

TEMPLATES = Path(__file__).parent / "template"
WIDE_COLUMNS = 5  # a table of fewer fits a narrow screen
LONG_TEXT = 24  # characters that need a line of their own in a folded row
FOLDED_ROWS = 40  # more of them, one below the other, are a longer way than to scroll a table sideways


class Verdict(NamedTuple):
    """What stands above everything else on a page.

    Attributes:
        css_class: the colour: green, red or amber.
        word: one or two words, such as "Passed".
        sentence: why.
    """

    css_class: Literal["passed", "failed", "interrupted"]
    word: str
    sentence: str


class Card(NamedTuple):
    """One box of a page.

    Attributes:
        title: its heading.
        body: markup, from the functions below.
        note: a line under the heading, or "".
        wide: whether it takes both columns.
        plot: name and figure of the plot in it, or None.
    """

    title: str
    body: Markup
    note: str = ""
    wide: bool = False
    plot: tuple[str, go.Figure] | None = None


def plot_card(name: str, title: str, note: str, figure: go.Figure, *, wide: bool = False) -> Card:
    """A card with a plot. ``name`` is the element's id and must be unique on the page."""
    return Card(title, part("plot", name), note, wide, (name, figure))


def text_card(title: str, body: Markup, note: str = "", *, wide: bool = False) -> Card:
    """A card with markup that :func:`table`, :func:`paragraph` or another function here has made."""
    return Card(title, body, note, wide)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    classes: Sequence[str] = (),
    keys: int = 1,
    outcome: bool = False,
    folds: bool | None = None,
) -> Markup:
    """A table. One that does not fit says that it scrolls; on a narrow screen a wide one folds its rows
    instead, unless they are many: then names and outcome stay in sight while it scrolls.

    Args:
        headings: one a column; no heading row is shown where all are empty.
        rows: cells, text or ``Markup``.
        numbers: indices of the columns that are aligned to the right.
        classes: CSS class of each row, such as "best"; may be shorter than ``rows``.
        keys: how many columns, from the first on, name the row.
        outcome: whether the last column says how the row came out, such as "met".
        folds: whether it is one that folds; None: where it has WIDE_COLUMNS.
    """
    given = [tuple(row) for row in rows]
    padded = [*classes, *[""] * (len(given) - len(classes))]
    last = len(headings) - 1
    right = frozenset(numbers)
    kinds = []
    for column in range(len(headings)):
        figure, key, verdict = column in right, column < keys, outcome and column == last
        words = not (figure or key or verdict) and any(len(row[column]) > LONG_TEXT for row in given)
        found = (
            ("number", figure),
            ("key", key),
            ("span2" if outcome else "span3", column == 0 and keys == 1),
            ("span3", words),
            ("outcome", verdict),
        )
        kinds.append(" ".join(kind for kind, holds in found if holds))
    wide = len(headings) >= WIDE_COLUMNS if folds is None else folds
    shape = "" if not wide else "folds" if len(given) <= FOLDED_ROWS else "keeps"
    if shape and outcome:
        shape += " judged"
    return part("table", tuple(headings), given, kinds, padded, shape)


def mark(good: bool, yes: str, no: str) -> Markup:
    """A green tick with the text ``yes``, or a red cross with ``no``."""
    return part("mark", good, yes if good else no)


def paragraph(text: str, css_class: str = "") -> Markup:
    """A paragraph of text; ``css_class`` may be "sentence" (larger), "quiet" (grey) or "bad" (red)."""
    return part("paragraph", text, css_class)


def left_out_card(left_out: Sequence[str], why: str) -> list[Card]:
    """The card of what a scenario asks for and its world leaves out; none where it leaves out nothing.

    Args:
        left_out: in words, one a line.
        why: such as "virtual time does not do".
    """
    if not left_out:
        return []
    said = f"What the scenario asks for and {why}. The verdict is without it."
    return [text_card("Left out", part("items", list(left_out)), said, wide=True)]


def render_page(
    *,
    title: str,
    heading: str,
    subheading: str,
    verdict: Verdict,
    figures: Iterable[tuple[str, str]],
    cards: Iterable[Card],
    repeat_note: str,
    repeat: str,
) -> str:
    """A whole page.

    Args:
        title: of the browser's window.
        heading, subheading: above the verdict.
        verdict: whether what was tried has passed.
        figures: value and label of each of the large figures.
        cards: in their order.
        repeat_note, repeat: how to do the same again: a sentence, and the text to save or to run.

    Returns:
        HTML that loads nothing; about 4.7 MB, for plotly.js is in it.
    """
    shown = list(cards)
    plots = dict(card.plot for card in shown if card.plot is not None)
    return render_template(
        "page.html",
        title=title,
        heading=heading,
        subheading=subheading,
        verdict=verdict,
        figures=list(figures),
        cards=shown,
        plots={name: json.loads(figure.to_json()) for name, figure in plots.items()},
        plotly_js=Markup(get_plotlyjs()),
        repeat_note=repeat_note,
        repeat=repeat,
    )


def scenario_yaml(scenario: Scenario) -> str:
    """A scenario as a file that gives the same run; what a page would not show as it is, is escaped."""
    content = scenario.model_dump(exclude_defaults=True)
    text = str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    if CONTROLS_IN_LINES.search(text) is None:
        return text
    return str(yaml.safe_dump(content, sort_keys=False))


def own_words(scenario: Scenario) -> str:
    """The description of a scenario as its own word, for pages of runs that vary it; "" where it has none.

    A file that says "a million players" does not know that a sweep gives it others.
    """
    return f"The scenario's own words: {scenario.description}" if scenario.description else ""


def render_template(name: str, **values: Any) -> str:
    """Fill one of the templates in ``template/``; whatever is not ``Markup`` is escaped.

    Raises:
        jinja2.UndefinedError: for a value that the template needs and does not get.
    """
    return _environment().get_template(name).render(**values)


def part(macro: str, *arguments: Any) -> Markup:
    """Fill one of the macros of ``template/parts.html``; whatever is not ``Markup`` is escaped."""
    return Markup(getattr(_parts(), macro)(*arguments))


@functools.cache
def _parts() -> Any:
    return _environment().get_template("parts.html").module


def _visible(value: Any) -> Any:
    """Show control characters of text, such as those that turn the direction of reading."""
    return escaped(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
    )
    # Compact, in the order of the figures; the filter itself escapes what could end the script element.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment
