"""What players bring to a rule set: the attributes of a ticket, checked when it is made and read again by the
director.

A rule set's number attribute ``skill`` is the meta service's rating of the player; a ticket cannot bring its
own. To its string list ``BlockList`` the meta service adds the players whom the player blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from matchmaker.messages import MAX_CHARS, MAX_ITEMS, AttributeValue
from matchmaker.rules.flexmatch.document import DocumentError, Mistake, Value
from matchmaker.rules.flexmatch.program import compile_rules
from matchmaker.rules.flexmatch.rule_set import Default, RuleSet
from matchmaker.rules.flexmatch.table import Columns
from matchmaker.rules.flexmatch.ticket_file import read_attribute
from matchmaker.rules.rules import RATING

BLOCK_LIST = "BlockList"  # as FlexMatch's guide calls it: ids of players
MAX_STORED_CHARS = 4_096  # characters of all of them as JSON: the queue carries them


class Attributes:
    """The attributes of one rule set.

    Attributes:
        carried: whether any rule reads an attribute that tickets bring, so that the queue has to carry them.
        read_blocks: whether a rule reads whom players block.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._declared = {attribute.name: attribute for attribute in rules.attributes}
        rated = self._declared.get(RATING)
        self._rated = rated is not None and rated.type == "number"
        columns = Columns([])
        compile_rules(rules, columns)
        self.used = frozenset(columns.used)
        self.carried = bool(self.used - ({RATING} if self._rated else set()))
        blocked = self._declared.get(BLOCK_LIST)
        self.read_blocks = blocked is not None and blocked.type == "string_list" and BLOCK_LIST in self.used
        self._needed = [
            name
            for name in sorted(self.used)
            if self._declared[name].default is None
            and not (name == RATING and self._rated)
            and not (name == BLOCK_LIST and self.read_blocks)
        ]

    def check(self, given: Mapping[str, Any] | None) -> str | None:
        """Check what a ticket brings, in FlexMatch's shape; returns what the queue carries of it, None where
        it need not.

        Raises DocumentRefused with every mistake, its pointer being that within the request.
        """
        if not given and not self._needed:
            return "" if self.carried else None
        given = given or {}
        document = Value({"attributes": given}, "", [])
        value = document.child("attributes")
        for name in given:
            item = value.child(name)
            if name == RATING and self._rated:
                item.add_mistake("is the rating that the meta service keeps: a ticket cannot bring its own")
                continue
            read_attribute(item, self._declared.get(name))
            _bound(item)
        for name in self._needed:
            if name not in given:
                value.add_mistake(f"needs {name}: the rule set has no default for it")
        carried = {name: member for name, member in given.items() if name in self.used}
        stored = ""
        if carried and not document.mistakes:
            try:
                stored = msgspec.json.encode(carried).decode()
            except UnicodeEncodeError:  # half of a surrogate pair, which JSON's escapes can spell
                value.add_mistake("must be text that UTF-8 can carry")
        if len(stored) > MAX_STORED_CHARS:
            value.add_mistake(f"must have at most {MAX_STORED_CHARS} characters in all")
        if document.mistakes:
            raise DocumentError("ticket", document.mistakes)
        return stored if self.carried else None

    def read(self, stored: str, rating: float) -> dict[str, Default] | None:
        """A ticket's attributes, with the rule set's defaults and the player's rating.

        None where they no longer suit: the rule set was another one when the ticket was made.
        """
        read: dict[str, Default] = {name: each.default for name, each in self._declared.items()}
        document = Value(json.loads(stored) if stored else {}, "", [])
        for name in document.raw:
            read[name] = read_attribute(document.child(name), self._declared.get(name))
        if self._rated:
            read[RATING] = rating
        if self.read_blocks and read[BLOCK_LIST] is None:
            read[BLOCK_LIST] = ()
        lacks = any(read[name] is None for name in self._needed)
        return None if document.mistakes or lacks else read


def as_members(values: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Return attributes as the plain JSON that they were sent as, without what was not given."""
    members: dict[str, Any] = msgspec.to_builtins(values)
    return members


def with_blocked(stored: str, blocked: Sequence[int]) -> str:
    """Return a ticket's attributes with the players whom its player blocks, at most MAX_ITEMS strings in all.

    Args:
        stored: as `Attributes.check` returned them.
        blocked: player ids.
    """
    values = json.loads(stored) if stored else {}
    own = values.get(BLOCK_LIST, {}).get("SL", [])
    values[BLOCK_LIST] = {"SL": list(dict.fromkeys([*map(str, blocked), *own]))[:MAX_ITEMS]}
    return msgspec.json.encode(values).decode()


def problem_details(refused: DocumentError) -> tuple[str, list[dict[str, str]]]:
    """A refusal as the API words it: one sentence, and each mistake by its pointer."""
    mistakes: tuple[Mistake, ...] = refused.mistakes
    return (
        "; ".join(f"{each.pointer}: {each.reason}" for each in mistakes),
        [{"pointer": each.pointer, "detail": each.reason} for each in mistakes],
    )


def _bound(item: Value) -> None:
    """Note where an attribute is larger than a ticket may carry."""
    if not isinstance(item.raw, dict):
        return
    for kind, member in item.raw.items():
        texts = (
            [member] if isinstance(member, str) else list(member) if isinstance(member, list | dict) else []
        )
        if len(texts) > MAX_ITEMS:
            item.child(kind).add_mistake(f"must have at most {MAX_ITEMS} members")
        elif any(isinstance(text, str) and len(text) > MAX_CHARS for text in texts):
            item.child(kind).add_mistake(f"must have strings of at most {MAX_CHARS} characters")
