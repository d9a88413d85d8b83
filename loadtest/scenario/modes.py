"""What our own backend plays: the modes that have a card, and where a scenario says otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from dedicated_server.cards import ModeCard, cards_in_force, unknown_mode
from launchday.settings import settings
from loadtest.scenario.players import ModeSection

KeyPath = tuple[str | int, ...]


def known_cards() -> Mapping[str, ModeCard]:
    """The cards that ship and those of LAUNCHDAY_MODES, by mode. Raises CardError and SettingsError."""
    return cards_in_force(settings().modes)


def named_queues() -> frozenset[str]:
    """The modes that LAUNCHDAY_RULE_SETS has rule sets for."""
    items = (item.strip() for item in settings().rule_sets.split(","))
    return frozenset(item.partition("=")[0].partition(":")[0] for item in items if item)


def sized_card(cards: Mapping[str, ModeCard]) -> ModeCard:
    """The card of the mode that a rule set without a mode of its own is played as: its size is anybody's."""
    return next(card for card in cards.values() if card.sized_by_settings)


def played_as(name: str, cards: Mapping[str, ModeCard]) -> str:
    """What the game servers play for a scenario's mode that has a rule set."""
    return name if name in cards else sized_card(cards).name


def card_mistakes(
    modes: Mapping[str, ModeSection],
    parties: Collection[int],
    cards: Mapping[str, ModeCard],
) -> Iterator[tuple[KeyPath, str]]:
    """What a scenario says of its modes that their cards do not: the path of each, and what is wrong.

    Args:
        modes: of the scenario.
        parties: sizes of its parties.
        cards: of our backend.
    """
    # A scenario with rule sets of its own sets the backend's: those of the environment are not there then.
    queues = frozenset[str]() if any(mode.rules for mode in modes.values()) else named_queues()
    for name, mode in modes.items():
        if mode.rules or name in queues:
            continue  # a rule set decides
        card = cards.get(name)
        if card is None:
            yield ("modes", name), f"{unknown_mode(name, cards)}: name one of them, or give it rules"
            continue
        if card.sized_by_settings:
            continue
        yield from ((("modes", name, key), text) for key, text in _sizes(mode, card))
        yield from (
            (("players", "parties", size), f"does not fit into a team of {card.team_size_max} of {name}")
            for size in parties
            if card.team_size_max < size <= mode.players
        )
    sized = [name for name in modes if name in cards and cards[name].sized_by_settings]
    for name in sized[1:]:
        for key in ("players", "min_players", "fill_s"):
            first, own = getattr(modes[sized[0]], key), getattr(modes[name], key)
            if first != own:
                text = f"must be {first:g}, as of {sized[0]}: the settings have one for both (it is {own:g})"
                yield ("modes", name, key), text


def _sizes(mode: ModeSection, card: ModeCard) -> Iterator[tuple[str, str]]:
    """Sizes of a match that are not the card's, which decides them."""
    teams = f"{card.players_min} to {card.players_full} players" + (
        f" in {card.teams} teams, a short match after {card.fill_s:g} s" if card.teams else ""
    )
    for key, fixed, given in (
        ("players", card.players_full, mode.players),
        ("min_players", card.players_min, mode.min_players),
        ("fill_s", card.fill_s, mode.fill_s),
    ):
        if key in mode.model_fields_set and given != fixed:
            yield key, f"must be {fixed:g}, for the mode's card decides: {teams} (it is {given:g})"
