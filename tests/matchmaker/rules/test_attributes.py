from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmaker.rules.attributes import MAX_STORED_CHARS, Attributes
from matchmaker.rules.flexmatch.document import DocumentError, Mistake
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.modes import shipped_rule_set
from tests.matchmaker.director.test_rule_set_queue import HUNT

ATTRIBUTES = Attributes(read_rule_set(HUNT.read_text()))
TYPES = {"N": float, "S": str, "SL": tuple, "SDM": dict}

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
_named = st.dictionaries(st.sampled_from([*TYPES, "X"]), _anything, max_size=2)
_wishes = st.dictionaries(
    st.sampled_from(["level", "variant", "maps", "roles", "skill", "colour"]), _named | _anything, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(_wishes)
def test_whatever_a_ticket_brings_is_refused_by_pointer_or_read_back_as_it_is(wish: dict[str, Any]) -> None:
    mistakes: tuple[Mistake, ...] = ()
    stored: str | None = None
    try:
        stored = ATTRIBUTES.check(wish)
    except DocumentError as refused:
        mistakes = refused.mistakes
    if stored is None:
        assert mistakes
        assert all(each.pointer.startswith("/attributes") for each in mistakes)
        return
    assert len(stored) <= MAX_STORED_CHARS
    read = ATTRIBUTES.read(stored, 31.5)
    assert read is not None
    assert read["skill"] == 31.5
    for name, value in wish.items():
        [(kind, member)] = value.items()
        assert isinstance(read[name], TYPES[kind])
        assert read[name] == (tuple(member) if kind == "SL" else member)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    wish = {"level": {"N": 1}, "variant": {"S": text}}
    with pytest.raises(DocumentError, match="UTF-8"):
        ATTRIBUTES.check(json.loads(json.dumps(wish)))


def test_what_is_left_out_has_the_default_and_the_rating_is_the_meta_services() -> None:
    stored = ATTRIBUTES.check({"level": {"N": 4}})
    assert stored is not None
    assert ATTRIBUTES.read(stored, 12.0) == {
        "skill": 12.0, "level": 4.0, "variant": "night", "maps": ("harbour",), "roles": {"tracker": 1.0},
    }  # fmt: skip


def test_attributes_of_another_rule_set_suit_no_more() -> None:
    assert ATTRIBUTES.read('{"level":{"S":"ten"}}', 12.0) is None
    assert ATTRIBUTES.read('{"colour":{"S":"red"}}', 12.0) is None
    assert ATTRIBUTES.read("", 12.0) is None  # it lacks one that has no default


@pytest.mark.parametrize("mode", ["battle_royale", "teams_of_five"])
def test_the_shipped_modes_carry_none(mode: str) -> None:
    attributes = Attributes(shipped_rule_set(mode))
    assert not attributes.carried
    assert attributes.check(None) is None
