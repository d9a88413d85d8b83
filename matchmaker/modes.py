"""What can be queued for: the modes that ship, and those of the operator's own rule sets.

``LAUNCHDAY_RULE_SETS`` names files: ``hunt=/etc/launchday/hunt.json`` makes the mode ``hunt`` of a rule set, played by the game
servers' mode of that name; ``hunt:teams_of_five=…`` says another one. A mode that ships is replaced by one of its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from launchday.settings import Settings
from matchmaker.attributes import Attributes
from matchmaker.errors import RuleSetsRefused
from matchmaker.flexmatch.document import DocumentRefused, Mistake
from matchmaker.flexmatch.matching import why_never
from matchmaker.flexmatch.reading import read_rule_set
from matchmaker.flexmatch.rule_set import RuleSet
from matchmaker.flexmatch.ticket_file import Player, TicketRequest
from matchmaker.rules import Rules, load_rules, rules_of, shipped

SETTING = "LAUNCHDAY_RULE_SETS"
MOST_BYTES = 1024 * 1024

_NAMED = re.compile(r"(?P<mode>[a-z0-9_-]{1,64})(:(?P<game>[a-z0-9_-]{1,64}))?=(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class SearchedRules:
    """The rules of a mode whose matches are searched for, rule by rule: what the fast kernel has no numbers for.

    Attributes: as those of Rules; ``rule_set``: the rules themselves; ``attributes``: what its tickets bring.
    """

    mode: str
    game_mode: str
    rule_set: RuleSet
    attributes: Attributes
    max_latency_ms: float
    match_s: float
    accept_s: float

    @property
    def backfill_until(self) -> float:
        """A search fills no running matches."""
        return 0.0

    @property
    def teams(self) -> int:
        """Teams of a match, copies counted."""
        return sum(team.quantity for team in self.rule_set.teams)

    @property
    def team_size(self) -> int:
        """The largest party that fits into a team."""
        return self.rule_set.largest_team

    def why_never(self, latency_ms: dict[str, float]) -> str | None:
        """Why a player with these round trips can never match; None where he can."""
        near = {region: value for region, value in latency_ms.items() if value <= self.max_latency_ms}
        player = Player("", None, {}, near)
        return why_never(self.rule_set, TicketRequest("", 0.0, (player,)), set())


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode that can be queued for: how its matches are found, and what a ticket may bring."""

    rules: Rules | SearchedRules
    attributes: Attributes


def load_modes(settings: Settings) -> dict[str, Mode]:
    """Every mode that can be queued for, by name. Raises RuleSetsRefused with one line a mistake."""
    modes = {name: Mode(rules, Attributes(shipped(name))) for name, rules in load_rules(settings).items()}
    for item in filter(None, (part.strip() for part in settings.rule_sets.split(","))):
        named = _NAMED.fullmatch(item)
        if named is None:
            raise RuleSetsRefused(
                f"{SETTING}: {item!r} is not like hunt=hunt.json or hunt:teams_of_five=hunt.json (small letters, digits, _ and -)"
            )
        mode, game, path = named["mode"], named["game"] or named["mode"], Path(named["path"])
        try:
            modes[mode] = mode_of(mode, game, read_rule_set(_text(path)), settings)
        except DocumentRefused as refused:
            lines = [f"{SETTING}: {path}#{each.pointer}: {each.reason}" for each in refused.mistakes]
            raise RuleSetsRefused("\n".join(lines)) from refused
    return modes


def mode_of(mode: str, game_mode: str, rule_set: RuleSet, settings: Settings) -> Mode:
    """The mode of a rule set: by the fast kernel where it can hold all of its rules, else by the search. Raises DocumentRefused."""
    attributes = Attributes(rule_set)
    try:
        fast = rules_of(rule_set, settings.max_latency_ms, settings.match_s_of(mode))
    except DocumentRefused:
        searched = SearchedRules(
            mode,
            game_mode,
            rule_set,
            attributes,
            settings.max_latency_ms,
            settings.match_s_of(mode),
            settings.accept_s,
        )
        return Mode(searched, attributes)
    until = 0.0 if settings.accept_s else settings.backfill_shares.get(mode, 0.0)
    return Mode(
        replace(fast, mode=mode, game_mode=game_mode, accept_s=settings.accept_s, backfill_until=until),
        attributes,
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise DocumentRefused("rule set", [Mistake("", f"is larger than {MOST_BYTES} bytes")])
        return text.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentRefused("rule set", [Mistake("", f"cannot be read: {error}")]) from error
