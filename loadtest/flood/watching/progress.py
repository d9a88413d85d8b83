"""The progress of a run: a live table in a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launchday.terminal import Terminal, data, table
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState

REFRESH_HZ = 4
PLAIN_EVERY_S = 5.0
RECENT_SAMPLES = 5  # a fleet that told nothing for so long shows no servers
SHOWN_STATES = (
    PlayerState.AWAY,
    PlayerState.LOGGING_IN,
    PlayerState.SHOPPING,
    PlayerState.QUEUED,
    PlayerState.CONNECTING,
    PlayerState.PLAYING,
    PlayerState.WATCHING,
    PlayerState.THINKING,
    PlayerState.DONE,
    PlayerState.CANCELLED,
    PlayerState.UNMATCHED,
    PlayerState.LOST,
    PlayerState.STOPPED,
)
STATE_COLOURS = {
    PlayerState.CANCELLED: "yellow",
    PlayerState.UNMATCHED: "yellow",
    PlayerState.LOST: "red",
    PlayerState.PLAYING: "green",
}
HIDDEN_WHEN_ZERO = (
    PlayerState.LOGGING_IN,
    PlayerState.SHOPPING,
    PlayerState.THINKING,
    PlayerState.CANCELLED,
    PlayerState.UNMATCHED,
    PlayerState.STOPPED,
)
WIDE = ("connected", "alive", "tick p50", "tick p99", "kbit/s")
NARROW = ("conn.", "alive", "p50 / p99 ms", "kbit/s")
WIDE_COLUMNS = 50  # of the table's figures with their headings
MIN_BAR = 4  # columns; a shorter bar shows nothing


class ProgressDisplay:
    """Shows a run on a console. Use it as a context manager around the run.

    Args:
        console: a terminal gets a live table, anything else plain lines.
        records: of the players.
        timeline: whose last samples are shown.
    """

    def __init__(self, console: Terminal, records: PlayerRecords, timeline: Timeline) -> None:
        self._console = console
        self._records = records
        self._timeline = timeline
        self._live = (
            Live(console=console, refresh_per_second=REFRESH_HZ, transient=True)
            if console.is_terminal
            else None
        )
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def print_line(self, text: str, style: str = "") -> None:
        """Print a line, above the live table if there is one."""
        self._console.print(data(text, style))

    def update(self, now_s: float, phase: str) -> None:
        """Show the players by state; ``now_s``: seconds after the start, ``phase``: the part of the run."""
        if self._live is not None:
            self._live.update(self._table(now_s, phase))
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + PLAIN_EVERY_S
            self._console.print(self._line(now_s, phase))

    def _counts(self) -> list[tuple[PlayerState, int]]:
        by_state = self._records.count_by_state()
        return [(state, int(by_state[state])) for state in SHOWN_STATES]

    def _line(self, now_s: float, phase: str) -> str:
        counts = ", ".join(f"{count:,} {state.label}" for state, count in self._counts() if count)
        playing = self._playing()
        if not playing:
            return f"{now_s:5.0f} s  {phase}: {counts}"
        slowest, curve = max(playing, key=lambda each: each[1]["p99"][-1])
        alive = sum(curve["alive"][-1] for _, curve in playing)
        return (
            f"{now_s:5.0f} s  {phase}: {counts}; {len(playing)} servers, {alive:,.0f} alive, "
            f"slowest tick p99 {curve['p99'][-1] / 1e3:.2f} ms ({slowest})"
        )

    def _table(self, now_s: float, phase: str) -> RenderableType:
        width = self._console.width
        players = Table.grid(padding=(0, 2))
        players.add_column(min_width=11, no_wrap=True)
        players.add_column(justify="right", min_width=6, no_wrap=True)
        players.add_column()
        longest = max(len(state.label) for state in SHOWN_STATES)
        bar_width = max(0, min(40, width - max(11, longest) - max(6, len(f"{len(self._records):,}")) - 6))
        for state, count in self._counts():
            if not count and state in HIDDEN_WHEN_ZERO:
                continue
            colour = STATE_COLOURS.get(state, "blue") if count else "blue"
            bar = ProgressBar(
                len(self._records), count, width=bar_width, complete_style=colour, finished_style=colour
            )
            players.add_row(state.label, f"{count:,}", *([bar] if bar_width >= MIN_BAR else []))
        title = Text(f"{now_s:.0f} s · {phase}", style="bold")
        if self._timeline.faults:
            at_s, what = self._timeline.faults[-1]
            title.append_text(data(f" · {at_s:.0f} s: {what}", "bold red"))
        servers = self._servers(width)
        return Group(title, players, *([servers] if servers.row_count else []))

    def _servers(self, width: int) -> Table:
        """The game servers that play; where columns are few, p50 and p99 share one and units go up."""
        playing = self._playing()
        wide = width >= WIDE_COLUMNS + max((len(name) for name, _ in playing), default=0)
        headings = WIDE if wide else NARROW
        shown = table("game server", *headings, right=headings, boxed=False)
        for name, curve in playing:
            told = {key: values[-1] for key, values in curve.items()}
            p50, p99 = told["p50"] / 1e3, told["p99"] / 1e3
            counts = (f"{told['connected']:.0f}", f"{told['alive']:.0f}")
            ticks = (f"{p50:.2f} ms", f"{p99:.2f} ms") if wide else (f"{p50:.2f} / {p99:.2f}",)
            shown.add_row(name, *counts, *ticks, f"{told['kbit']:.0f}")
        return shown

    def _playing(self) -> list[tuple[str, dict[str, list[float]]]]:
        """Name and curves of the servers that had a running match when the fleet last told of them."""
        told_s = [at_s for at_s in self._timeline.fleet_at_s[-RECENT_SAMPLES:] if at_s is not None]
        if not told_s:
            return []
        last_s = told_s[-1]
        return [
            (name, curve)
            for name, curve in sorted(self._timeline.servers.items())
            if curve["at_s"][-1] == last_s
        ]
