"""What can be queued for: the modes that have a card, by the rule set in their folders, and those of the
operator's own rule sets.

``LAUNCHDAY_RULE_SETS`` names files: ``duel=/etc/launchday/duel.json`` gives the mode ``duel`` another rule
set; ``hunt:teams_of_five=…`` makes a queue ``hunt`` whose matches the game servers play as that mode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from dedicated_server.cards import CardError, ModeCard, cards_in_force, shipped_cards, unknown_mode
from launchday.settings import Settings
from matchmaker.errors import RuleSetsError
from matchmaker.rules.attributes import Attributes
from matchmaker.rules.flexmatch.cycle import unmatchable_reason
from matchmaker.rules.flexmatch.document import DocumentError, Mistake
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.rules import Rules, rules_of

SETTING, MODES_SETTING = "LAUNCHDAY_RULE_SETS", "LAUNCHDAY_MODES"
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
    each_alone: bool = True

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
    """Every mode that can be queued for, by name: of each card in force, and of the operator's own rule sets.

    Raises RuleSetsError with one line a mistake, of all of them.
    """
    try:
        cards = cards_in_force(settings.modes)
    except CardError as refused:
        raise RuleSetsError(str(refused)) from refused
    lines: list[str] = []
    modes: dict[str, QueueMode] = {}
    for card in cards.values():
        try:
            modes[card.name] = mode_of_card(card, settings)
        except DocumentError as refused:
            lines += [f"{card.rule_set}#{each.pointer}: {each.reason}" for each in refused.mistakes]
    for item in filter(None, (part.strip() for part in settings.rule_sets.split(","))):
        named = _NAMED.fullmatch(item)
        if named is None:
            lines.append(
                f"{SETTING}: {item!r} is not like hunt=hunt.json or hunt:teams_of_five=hunt.json "
                "(small letters, digits, _ and -)"
            )
            continue
        mode, game, path = named["mode"], named["game"] or named["mode"], Path(named["path"])
        if game not in cards:
            lines.append(
                f"{SETTING}: {item}: {game!r} {unknown_mode(game, cards)}: write {mode}:MODE={path}, or name "
                f"its folder in {MODES_SETTING}"
            )
        try:
            rule_set = read_rule_set(_text(path))
            if game in cards:
                modes[mode] = make_mode(mode, cards[game], rule_set, settings)
        except DocumentError as refused:
            lines += [f"{SETTING}: {path}#{each.pointer}: {each.reason}" for each in refused.mistakes]
    if lines:
        raise RuleSetsError("\n".join(lines))
    return modes


def load_rules(settings: Settings) -> dict[str, Rules]:
    """The rules of the modes whose matches the fast kernel forms, by mode. Raises RuleSetsError."""
    rules = {name: mode.rules for name, mode in load_modes(settings).items()}
    return {name: each for name, each in rules.items() if isinstance(each, Rules)}


def shipped_rule_set(mode: str) -> RuleSet:
    """The rule set of a mode that ships."""
    return card_rule_set(shipped_cards()[mode])


def card_rule_set(card: ModeCard) -> RuleSet:
    """The rule set of a mode's folder. Raises DocumentError."""
    return read_rule_set(_text(card.rule_set))


def mode_of_card(card: ModeCard, settings: Settings) -> QueueMode:
    """A mode by its own rule set. Raises DocumentError."""
    made = make_mode(card.name, card, card_rule_set(card), settings)
    rules = made.rules
    if card.sized_by_settings:
        if not isinstance(rules, Rules):
            reason = "asks for more than the settings can size: set sized_by_settings to false in the card"
            raise DocumentError("rule set", [Mistake("", reason)])
        # How large and how soon is the settings' matter, so that a run of ten players plays too.
        rules = replace(
            rules,
            players=settings.match_players,
            min_players=min(settings.match_min_players, settings.match_players),
            fill_s=settings.match_fill_s,
            latency=(),
            min_players_by_wait=(),
            region_expansion_after_s=None,
        )
    if not settings.accept_s:
        until = settings.backfill_shares.get(card.name, card.backfill_until)
        rules = replace(rules, backfill_until=until)
    return QueueMode(rules, made.attributes)


def make_mode(mode: str, card: ModeCard, rule_set: RuleSet, settings: Settings) -> QueueMode:
    """The mode of a rule set that is played as ``card`` says: by the fast kernel where it can hold all of its
    rules, else by the search. Raises DocumentError.
    """
    attributes = Attributes(rule_set)
    until = 0.0 if settings.accept_s else settings.backfill_shares.get(mode, 0.0)
    match_s = settings.match_s_of(mode, card.match_s)
    try:
        fast = rules_of(rule_set, settings.max_latency_ms, match_s)
    except DocumentError:
        searched = SearchRules(
            mode,
            card.name,
            rule_set,
            attributes,
            settings.max_latency_ms,
            match_s,
            settings.accept_s,
            until,
            card.each_alone,
        )
        return QueueMode(searched, attributes)
    return QueueMode(
        replace(
            fast,
            mode=mode,
            game_mode=card.name,
            accept_s=settings.accept_s,
            backfill_until=until,
            each_alone=card.each_alone,
        ),
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
