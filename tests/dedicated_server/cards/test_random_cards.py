from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import yaml

from dedicated_server.cards import CardError, read_card
from tests.dedicated_server.cards.random_cards import WRONG, draw_card, plant

CARDS = 1_000
SEED = 20

pytestmark = pytest.mark.timeout(300)  # thousands of files


def test_sound_cards_are_read(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for number in range(CARDS):
        made = draw_card(rng)
        read = read_card(made.write(tmp_path / str(number)))
        assert read.name == "random_mode"
        assert read.players_full == made.card["players"]["full"]
        assert len(read.boxes) == len(made.map["boxes"] if made.map else [])
        assert dict(read.objects) == made.card.get("objects", {})


def test_a_card_that_is_wrong_in_one_place_is_refused_with_that_place_and_its_line(tmp_path: Path) -> None:
    rng = random.Random(SEED + 1)
    planted: Counter[str] = Counter()
    for number in range(CARDS):
        made = draw_card(rng)
        kind, file, place = plant(rng, made)
        folder = made.write(tmp_path / str(number))
        with pytest.raises(CardError) as refused:
            read_card(folder)
        mistakes = refused.value.mistakes
        told = f"{number}: {kind}: {file} {place!r}: {mistakes}"
        assert len(mistakes) == 1, told
        assert (mistakes[0].file, mistakes[0].place) == (
            file,
            mistakes[0].place if place == "*" else place,
        ), told
        if file.endswith(".yaml") and place not in ("", "*"):
            assert mistakes[0].line == line_of((folder / file).read_text(), place), told
        assert str(refused.value).startswith(f"{folder}/{file}"), told
        planted[kind] += 1
    assert set(planted) == set(WRONG)


def line_of(text: str, place: str) -> int:
    """The line of a place, or of what is nearest on the way to it, as PyYAML's own tree has it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    line = 0
    for part in place.split("/"):
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = found[-1][0].start_mark.line, found[0][1]
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
            line = node.start_mark.line
    return int(line) + 1
