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
from loadtest.flood.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState

REFRESH_HZ = 4
PLAIN_EVERY_S = 5.0
SHOWN_STATES = (
    PlayerState.AWAY,
    PlayerState.SHOPPING,
    PlayerState.QUEUED,
    PlayerState.CONNECTING,
    PlayerState.PLAYING,
    PlayerState.WATCHING,
    PlayerState.THINKING,
    PlayerState.DONE,
    PlayerState.LOST,
)
STATE_COLOURS = {PlayerState.LOST: "red", PlayerState.PLAYING: "green"}
HIDDEN_WHEN_ZERO = (PlayerState.SHOPPING, PlayerState.THINKING)


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
        players = Table.grid(padding=(0, 2))
        players.add_column(min_width=11)
        players.add_column(justify="right", min_width=6)
        players.add_column(width=40)
        for state, count in self._counts():
            if not count and state in HIDDEN_WHEN_ZERO:
                continue
            colour = STATE_COLOURS.get(state, "blue") if count else "blue"
            players.add_row(
                state.label,
                f"{count:,}",
                ProgressBar(
                    len(self._records), count, width=40, complete_style=colour, finished_style=colour
                ),
            )
        servers = table("game server", boxed=False)
        for heading in ("connected", "alive", "tick p50", "tick p99", "kbit/s"):
            servers.add_column(heading, justify="right", min_width=9)
        for name, curve in self._playing():
            servers.add_row(
                name,
                f"{curve['connected'][-1]:.0f}",
                f"{curve['alive'][-1]:.0f}",
                f"{curve['p50'][-1] / 1e3:.2f} ms",
                f"{curve['p99'][-1] / 1e3:.2f} ms",
                f"{curve['kbit'][-1]:.0f}",
            )
        title = Text(f"{now_s:.0f} s · {phase}", style="bold")
        if self._timeline.faults:
            at_s, what = self._timeline.faults[-1]
            title.append_text(data(f" · {at_s:.0f} s: {what}", "bold red"))
        return Group(title, players, *([servers] if servers.row_count else []))

    def _playing(self) -> list[tuple[str, dict[str, list[float]]]]:
        """Name and curves of the servers that had a running match at the last sample."""
        if not self._timeline.at_s:
            return []
        last_s = self._timeline.at_s[-1]
        return [
            (name, curve)
            for name, curve in sorted(self._timeline.servers.items())
            if curve["at_s"][-1] == last_s
        ]
