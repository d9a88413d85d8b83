"""The parts that the pages of a simulation, a sweep and a rehearsal are made of; style and script are those of a flood's report."""

from __future__ import annotations

import html
import json
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from loadtest.report import run_page

TEMPLATE = Path(__file__).parent / "page.html"


class Raw(str):
    """HTML that is already escaped."""


def render(
    *,
    title: str,
    heading: str,
    subheading: str,
    passed: bool,
    verdict_word: str,
    verdict: str,
    figures: Iterable[tuple[str, str]],
    cards: Iterable[str],
    plots: Mapping[str, go.Figure],
    repeat_note: str,
    repeat: str,
) -> str:
    """A page that needs nothing else: no network, no folder beside it. ``cards`` are HTML, everything else is text."""
    flood_page = run_page.TEMPLATE.read_text(encoding="utf-8")
    script = string.Template(_cut(flood_page, "<script>\n", "</script>")).substitute(
        plot_data=script_json(plots)
    )
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=_cut(flood_page, "<style>", "</style>"),
        plotly_js=get_plotlyjs(),
        heading=html.escape(heading),
        subheading=html.escape(subheading),
        verdict_class="passed" if passed else "failed",
        verdict_word=html.escape(verdict_word),
        verdict=html.escape(verdict),
        figures="".join(
            f'<div class="figure"><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>'
            for value, label in figures
        ),
        cards="".join(cards),
        script=script,
        repeat_note=html.escape(repeat_note),
        repeat=html.escape(repeat),
    )


def plot_card(name: str, title: str, note: str, *, wide: bool = False) -> str:
    """A card with a place for the plot of that name."""
    return text_card(title, f'<div class="plot" id="{name}"></div>', note, wide=wide)


def text_card(title: str, body: str, note: str = "", *, wide: bool = False) -> str:
    """A card around some HTML."""
    said = f'<p class="quiet"><small>{html.escape(note)}</small></p>' if note else ""
    return (
        f'<section class="card{" wide" if wide else ""}"><h2>{html.escape(title)}</h2>{said}{body}</section>'
    )


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    classes: Sequence[str] = (),
) -> str:
    """A table of text, the columns ``numbers`` to the right; ``classes`` name the rows' looks."""
    right = frozenset(numbers)

    def cell(tag: str, at: int, text: str) -> str:
        looks = " class=number" if at in right else ""
        return f"<{tag}{looks}>{text if isinstance(text, Raw) else html.escape(text)}</{tag}>"

    head = "".join(cell("th", at, text) for at, text in enumerate(headings))
    lines = []
    for index, row in enumerate(rows):
        looks = f' class="{classes[index]}"' if index < len(classes) and classes[index] else ""
        lines.append(f"<tr{looks}>{''.join(cell('td', at, text) for at, text in enumerate(row))}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def mark(good: bool, yes: str, no: str) -> Raw:
    """A tick or a cross."""
    return Raw(
        f'<span class="{"good" if good else "bad"}">{"✓" if good else "✗"} {html.escape(yes if good else no)}</span>'
    )


def script_json(plots: Mapping[str, go.Figure]) -> str:
    """Plots as JSON that cannot end the script element it stands in."""
    plain: dict[str, Any] = {name: json.loads(figure.to_json()) for name, figure in plots.items()}
    return json.dumps(plain, separators=(",", ":")).replace("<", "\\u003c")


def _cut(text: str, begin: str, end: str) -> str:
    """The last part of a text from ``begin`` to the ``end`` that follows it, both included."""
    at = text.rindex(begin)
    return text[at : text.index(end, at) + len(end)]
