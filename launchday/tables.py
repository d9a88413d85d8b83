"""Tables that fit any terminal: no figure and no word is cut, nor broken while a line has room for it.

Where all columns fit side by side, they stand so, and long text is folded between its words. Where they do
not, each row becomes lines of its own: its first cell, and below it each heading with its cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import HEAVY_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

INDENT = 2  # of what belongs to a row's first cell
BETWEEN = "  "  # two headings on one line
LONGEST_WORD = 40  # a longer one may be broken, for one name must not make every row a list


class FoldingTable(Table):
    """A table of text. See the module.

    Args:
        title: above it, to the left.
        boxed: draw its frame.
        header: show the headings.
    """

    def __init__(self, *, title: Text | None, boxed: bool, header: bool) -> None:
        super().__init__(
            title=title,
            title_justify="left",
            title_style="bold" if not boxed else None,
            header_style="bold",
            show_header=header,
            box=HEAVY_HEAD if boxed else None,
            pad_edge=boxed,
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Side by side where that fits, else row by row."""
        count = len(self.columns)
        frame = 3 * count + 1 if self.box else max(2 * (count - 1), 0)
        widths = self._widths(console, options, options.max_width - frame)
        if widths is None:
            yield from self._row_by_row(console, options)
        elif self.box:
            yield self._side_by_side(console, widths)
        else:
            for line in console.render_lines(self._side_by_side(console, widths), options, pad=False):
                yield from _without_trailing_blanks(line)
                yield Segment.line()

    def _widths(self, console: Console, options: ConsoleOptions, room: int) -> list[int] | None:
        """The widths of the columns, without what stands between them; None where they do not fit."""
        needs = []
        for column in self.columns:
            cells = [Measurement.get(console, options, cell) for cell in column.cells]
            heading = Measurement.get(console, options, column.header if self.show_header else "")
            # A figure and its unit stay together, words of a text and of a heading need not.
            least = max(
                heading.minimum,
                column.min_width or 0,
                *(each.maximum if column.justify == "right" else each.minimum for each in cells),
            )
            full = max(heading.maximum, least, *(each.maximum for each in cells))
            needs.append((max(min(least, LONGEST_WORD), 1), max(full, 1)))
        widths = [least for least, _ in needs]
        spare = room - sum(widths)
        if spare < 0:
            return None
        # The columns that want little get it; the longest texts share what is left.
        wanting = sorted(range(len(needs)), key=lambda index: needs[index][1] - needs[index][0])
        for place, index in enumerate(wanting):
            least, full = needs[index]
            more = min(full - least, spare // (len(wanting) - place))
            widths[index] += more
            spare -= more
        return widths

    def _side_by_side(self, console: Console, widths: Sequence[int]) -> Table:
        shown = Table(
            title=self.title,
            title_justify=self.title_justify,
            title_style=self.title_style,
            header_style=self.header_style,
            show_header=self.show_header,
            box=self.box,
            pad_edge=self.pad_edge,
        )
        for column, width in zip(self.columns, widths, strict=True):
            shown.add_column(column.header, justify=column.justify, overflow="fold", width=width)
        cells = zip(
            *(
                [_in_groups(_text(console, cell), width) for cell in column.cells]
                for column, width in zip(self.columns, widths, strict=True)
            ),
            strict=True,
        )
        for row, of_row in zip(self.rows, cells, strict=True):
            shown.add_row(*of_row, style=row.style)
        return shown

    def _row_by_row(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        folding = options.update(no_wrap=False, overflow="fold", justify="left")
        if isinstance(self.title, Text):
            title = self.title.copy()
            title.stylize(self.title_style or "table.title")
            yield from _lines(console, folding, title)
        headings = [_text(console, column.header) if self.show_header else Text() for column in self.columns]
        by_column = [[_text(console, cell) for cell in column.cells] for column in self.columns]
        for row, cells in zip(self.rows, zip(*by_column, strict=True), strict=True):
            yield from self._row(console, folding, headings, cells, row.style)

    def _row(
        self,
        console: Console,
        options: ConsoleOptions,
        headings: Sequence[Text],
        cells: Sequence[Text],
        style: StyleType | None,
    ) -> Iterator[RenderableType]:
        named = self.columns[0].justify != "right"  # by its first cell, which is then no figure
        pairs = []
        for heading, cell in list(zip(headings, cells, strict=True))[named:]:
            if cell.plain:
                pairs.append(Text.assemble(heading.copy(), " ", cell) if heading.plain else cell)
        if named:
            head = cells[0].copy()
            head.stylize("bold")
            yield from _lines(console, options, head, style)
        for number, line in enumerate(_packed(pairs, max(options.max_width - INDENT, 1))):
            yield from _lines(console, options, line, style, INDENT if named or number else 0)


def _without_trailing_blanks(line: Sequence[Segment]) -> list[Segment]:
    """A line without the blanks that fill its last cell: a narrower terminal shows them as empty lines."""
    kept = list(line)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    if kept:
        text, style, control = kept[-1]
        kept[-1] = Segment(text.rstrip(" "), style, control)
    return kept


def _text(console: Console, cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell))


def _in_groups(cell: Text, width: int) -> Text:
    """A cell that is too long, folded between its groups of words, which two spaces part; else as it is."""
    if cell.cell_len <= width or BETWEEN not in cell.plain or "\n" in cell.plain:
        return cell
    groups = [group for group in cell.split(BETWEEN) if group.plain.strip()]
    return Text("\n").join(_packed(groups, width))


def _packed(groups: Sequence[Text], room: int) -> list[Text]:
    """The groups in as few lines as hold them; one that is too long has a line of its own."""
    lines: list[Text] = []
    for group in groups:
        if lines and lines[-1].cell_len + len(BETWEEN) + group.cell_len <= room:
            lines[-1] = Text.assemble(lines[-1], BETWEEN, group)
        else:
            lines.append(group)
    return lines


def _lines(
    console: Console, options: ConsoleOptions, text: Text, style: StyleType | None = None, indent: int = 0
) -> Iterator[RenderableType]:
    """The text as lines of the terminal's width, folded between its words."""
    styled = text.copy()
    if style:
        styled.stylize(style)
    indent = min(indent, options.max_width // 2)
    room = max(options.max_width - indent, 1)
    for line in styled.wrap(console, room, overflow="fold", no_wrap=False):
        line.rstrip()
        yield Padding(line, (0, 0, 0, indent), expand=False)
