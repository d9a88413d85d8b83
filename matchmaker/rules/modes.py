"""What can be queued for: the modes that ship, and those of the operator's own rule sets.

``LAUNCHDAY_RULE_SETS`` names files: ``hunt=/etc/launchday/hunt.json`` makes the mode ``hunt`` of a rule set,
played by the game servers' mode of that name; ``hunt:teams_of_five=…`` says another one. A mode that ships is
replaced by one of its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from launchday.settings import Settings
from matchmaker.errors import RuleSetsError
from matchmaker.rules.attributes import Attributes
from matchmaker.rules.flexmatch.cycle import unmatchable_reason
from matchmaker.rules.flexmatch.document import DocumentError, Mistake
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.rules import Rules, load_rules, rules_of, shipped_rule_set

SETTING = "LAUNCHDAY_RULE_SETS"
MAX_FILE_BYTES = 1024 * 1024

_NAMED = re.compile(r"(?P<mode>[a-z0-9_-]{1,64})(:(?P<game>[a-z0-9_-]{1,64}))?=(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class SearchRules:
    """The rules of a mode whose matches are searched for, rule by rule: what the fast kernel has no numbers
    for.

    Attributes: as those of Rules; ``rule_set``: the rules themselves; ``attributes``: what its tickets bring.
    """

    mode: str
    game_mode: str
    rule_set: RuleSet
    attributes: Attributes
    max_latency_ms: float
    match_s: float
    accept_s: float
    backfill_until: float = 0.0

    @property
    def teams(self) -> int:
        """Teams of a match, copies counted."""
        return sum(team.quantity for team in self.rule_set.teams)

    @property
    def team_size(self) -> int:
        """The largest party that fits into a team."""
        return self.rule_set.largest_team

    def unmatchable_reason(self, latency_ms: dict[str, float]) -> str | None:
        """Return why a player with these round trips can never match; None where they can."""
        near = {region: value for region, value in latency_ms.items() if value <= self.max_latency_ms}
        player = TicketPlayer("", None, {}, near)
        return unmatchable_reason(self.rule_set, FlexMatchTicket("", 0.0, (player,)), set())


@dataclass(frozen=True, slots=True)
class QueueMode:
    """A mode that can be queued for: how its matches are found, and what a ticket may bring."""

    rules: Rules | SearchRules
    attributes: Attributes


def load_modes(settings: Settings) -> dict[str, QueueMode]:
    """Every mode that can be queued for, by name. Raises RuleSetsRefused with one line a mistake."""
    modes = {
        name: QueueMode(rules, Attributes(shipped_rule_set(name)))
        for name, rules in load_rules(settings).items()
    }
    for item in filter(None, (part.strip() for part in settings.rule_sets.split(","))):
        named = _NAMED.fullmatch(item)
        if named is None:
            raise RuleSetsError(
                f"{SETTING}: {item!r} is not like hunt=hunt.json or hunt:teams_of_five=hunt.json "
                "(small letters, digits, _ and -)"
            )
        mode, game, path = named["mode"], named["game"] or named["mode"], Path(named["path"])
        try:
            modes[mode] = make_mode(mode, game, read_rule_set(_text(path)), settings)
        except DocumentError as refused:
            lines = [f"{SETTING}: {path}#{each.pointer}: {each.reason}" for each in refused.mistakes]
            raise RuleSetsError("\n".join(lines)) from refused
    return modes


def make_mode(mode: str, game_mode: str, rule_set: RuleSet, settings: Settings) -> QueueMode:
    """The mode of a rule set: by the fast kernel where it can hold all of its rules, else by the search.
    Raises DocumentRefused.
    """
    attributes = Attributes(rule_set)
    until = 0.0 if settings.accept_s else settings.backfill_shares.get(mode, 0.0)
    try:
        fast = rules_of(rule_set, settings.max_latency_ms, settings.match_s_of(mode))
    except DocumentError:
        searched = SearchRules(
            mode,
            game_mode,
            rule_set,
            attributes,
            settings.max_latency_ms,
            settings.match_s_of(mode),
            settings.accept_s,
            until,
        )
        return QueueMode(searched, attributes)
    return QueueMode(
        replace(fast, mode=mode, game_mode=game_mode, accept_s=settings.accept_s, backfill_until=until),
        attributes,
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise DocumentError("rule set", [Mistake("", f"is larger than {MAX_FILE_BYTES} bytes")])
        return text.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError("rule set", [Mistake("", f"cannot be read: {error}")]) from error
