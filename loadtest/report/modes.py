"""What the matches of each mode came to: who won, what was scored, which events there were.

Winners and events are those that the matches themselves have sent to Kafka; scores are those of the game
servers' last reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtest.flood.outcome import RunOutcome


@dataclass(slots=True)
class ModeFigures:
    """The matches of one mode.

    Attributes:
        mode: its name.
        matches: that this run's players were assigned to; ``ended``: those of them with a result.
        players: assignments of players to them.
        kills, deaths: by the game servers' reports.
        wins: matches won by each side, in the order of the sides; empty where everybody plays alone.
        scores: of each score field, what each side has scored in all matches together.
        events: kind of event → how many.
    """

    mode: str
    matches: int = 0
    ended: int = 0
    players: int = 0
    kills: int = 0
    deaths: int = 0
    wins: list[int] = field(default_factory=list)
    scores: dict[str, list[int]] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The figures, as the run's JSON shows them."""
        return asdict(self) | {"events": dict(sorted(self.events.items()))}

    @property
    def sentence(self) -> str:
        """The figures in one line."""
        matches = f"{self.matches:,} match{'' if self.matches == 1 else 'es'}"
        said = [f"{matches}, {self.players:,} players, {self.kills:,} kills, {self.deaths:,} deaths"]
        if self.wins:
            said.append(f"won {between(self.wins)}")
        said += [f"{name} {between(sides)}" for name, sides in self.scores.items()]
        return "; ".join(said)


def between(sides: Sequence[int]) -> str:
    """What each side has, such as ``3 : 2``."""
    return " : ".join(f"{each:,}" for each in sides)


def figures_by_mode(outcome: RunOutcome) -> list[ModeFigures]:
    """The modes that were played, by name; none on a target that tells nothing of its matches."""
    reports = {str(report.get("match_id")): report for report in outcome.reports}
    found: dict[str, ModeFigures] = {}
    for match_id, players in Counter(wait.match_id for wait in outcome.records.waits).items():
        result, report = outcome.match_results.get(match_id), reports.get(match_id, {})
        mode = result.mode if result is not None else str(report.get("mode", ""))
        if not mode:
            continue
        figures = found.setdefault(mode, ModeFigures(mode))
        figures.matches += 1
        figures.players += players
        figures.kills += int(report.get("kills", 0))
        figures.deaths += int(report.get("deaths", 0))
        figures.events.update(outcome.event_kinds.get(match_id, {}))
        _add(figures.wins, [0] * int(report.get("sides", 0)))
        for name, sides in _scores(report).items():
            _add(figures.scores.setdefault(name, []), sides)
        if result is not None:
            figures.ended += 1
            won = [int(placement == 1) for _, placement in sorted(result.team_placements.items())]
            if len(won) == len(figures.wins):
                _add(figures.wins, won)
    return [found[mode] for mode in sorted(found)]


def _scores(report: Mapping[str, Any]) -> dict[str, list[int]]:
    given: Mapping[str, Sequence[int]] = report.get("scores") or {}
    return {name: [int(each) for each in sides] for name, sides in given.items()}


def _add(sums: list[int], numbers: Sequence[int]) -> None:
    """Add numbers to sums, place by place."""
    sums += [0] * (len(numbers) - len(sums))
    for place, number in enumerate(numbers):
        sums[place] += number
