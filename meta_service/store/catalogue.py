"""The catalogue: what there is to own, and what of it is for sale, as data.

``python -m meta_service.store.catalogue FILE`` checks a file's items together with those that the store
has, and puts them into it: all, or none where one of them makes no sense. Running services take it up
within seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launchday import startup
from launchday.resilience import store_address
from launchday.resilience.reloading import ReloadRefusedError
from launchday.terminal import Terminal, show_error
from meta_service.store.load_players import DEFAULT_SKIN

SHIPPED = Path(__file__).parent / "catalogue.yaml"
MAX_PRICE = 2**40
STATEMENT_S = 30.0  # waiting for another that seeds included; asyncpg bounds its own cancellations by it too
SKIN, EMOTE = "skin", "emote"  # kinds that a loadout wears
KINDS = (SKIN, EMOTE, "spray", "title", "consumable")  # see the setting item_kinds

_SLUG = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
_NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
Slug = Annotated[str, Field(pattern=f"^{_SLUG}$")]


class Item(BaseModel):
    """One thing to own.

    Attributes:
        price: of one piece, in the currency's smallest unit; 0: free, and then everybody may wear it, bought
            or not. None: never sold, only given; then ``on_sale`` is false.
        stock: pieces left for all players together; None: unlimited.
        max_owned: pieces one player may own.
        refundable_s: seconds after the purchase in which the player may give it back.
        on_sale: whether it can be bought now; what was bought stays.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: Slug
    kind: Slug
    title: Annotated[str, Field(min_length=1, max_length=100)]
    currency: Slug | None = None
    price: Annotated[int | None, Field(strict=True, ge=0, le=MAX_PRICE)] = None
    stock: Annotated[int | None, Field(strict=True, ge=0, lt=2**63)] = None
    max_owned: Annotated[int, Field(strict=True, ge=1, le=10**9)] = 1
    refundable_s: Annotated[int, Field(strict=True, ge=0, le=10**9)] = 0
    on_sale: bool = True

    @property
    def free(self) -> bool:
        """Whether everybody may wear it."""
        return self.on_sale and self.price == 0


@dataclass(frozen=True)
class Catalogue:
    """Items, and the currencies that there are."""

    items: tuple[Item, ...]
    currencies: tuple[str, ...]


class CatalogueError(ReloadRefusedError):
    """Raised for a catalogue that makes no sense. Nothing of it was taken: mend what each line names."""


_UPSERT = """
INSERT INTO catalogue (item_id, kind, title, currency, price, stock, max_owned, refundable_s, on_sale)
SELECT item_id, kind, title, currency, price, stock, max_owned, refundable_s, on_sale
FROM json_to_recordset($1::json) AS item (item_id text, kind text, title text, currency text, price bigint,
    stock bigint, max_owned bigint, refundable_s bigint, on_sale boolean)
ON CONFLICT (item_id) DO
"""

_REPLACE = """
UPDATE
    SET kind = excluded.kind, title = excluded.title, currency = excluded.currency, price = excluded.price,
        stock = excluded.stock, max_owned = excluded.max_owned, refundable_s = excluded.refundable_s,
        on_sale = excluded.on_sale
"""

IN_STORE = """
SELECT coalesce((SELECT json_agg(item ORDER BY item_id) FROM catalogue AS item), '[]')::text AS items,
    ARRAY(SELECT currency FROM currencies ORDER BY currency) AS currencies
"""
"""The whole catalogue in one row, for `parse_stored`."""


def read(path: Path = SHIPPED) -> list[Item]:
    """The items of a catalogue file that fit together with nothing else. Raises CatalogueError or OSError."""
    return list(read_file(path).items)


def read_file(path: Path = SHIPPED) -> Catalogue:
    """Read a catalogue file; whether its items make sense together is left to `check`.

    Raises CatalogueError, which tells all mistakes in single items, or OSError.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day, nested too deep
        raise CatalogueError([f"it is not YAML: {' '.join(str(error).split())}"]) from error
    if isinstance(content, list):
        content = {"items": content}
    if not isinstance(content, dict) or not content.keys() <= {"currencies", "items"}:
        raise CatalogueError(["it must hold `items:` and `currencies:`, or a list of items alone"])
    currencies = content.get("currencies") or []
    items = content.get("items") or []
    if not isinstance(items, list) or not isinstance(currencies, list):
        raise CatalogueError(["`items:` and `currencies:` must be lists"])
    wrong = [
        f"currencies: {name!r} is not a name: lower-case letters, digits and -"
        for name in currencies
        if not isinstance(name, str) or not re.fullmatch(_SLUG, name)
    ]
    found = _items(items, wrong)
    wrong += [
        f"{item.item_id}: its title cannot be shown: write a line of text"
        for item in found
        if item.title.isspace() or _NO_LINE.search(item.title)
    ]
    if wrong:
        raise CatalogueError(wrong)
    return Catalogue(tuple(found), tuple(currencies))


def parse_stored(items: str, currencies: Iterable[str]) -> Catalogue:
    """The catalogue of a row of `IN_STORE`. Raises CatalogueError for items that this release cannot read."""
    known = Item.model_fields.keys()
    rows = [{name: row[name] for name in row.keys() & known} for row in json.loads(items)]
    return Catalogue(tuple(_items(rows, [])), tuple(currencies))


def _items(rows: Iterable[Any], wrong: list[str]) -> list[Item]:
    found = []
    for place, row in enumerate(rows, start=1):
        name = row.get("item_id") if isinstance(row, dict) else None
        try:
            found.append(Item.model_validate(row))
        except ValidationError as error:
            wrong += [
                f"{name or f'item {place}'}: {'.'.join(map(str, each['loc']))}: {each['msg']}"
                for each in error.errors()
            ]
    if wrong:
        raise CatalogueError(wrong)
    return found


def check(catalogue: Catalogue, kinds: Iterable[str] = KINDS) -> None:
    """Raise CatalogueError, with every mistake, for a catalogue that makes no sense as a whole.

    Args:
        catalogue: all that there is.
        kinds: those that there may be.
    """
    known, wrong = tuple(kinds), []
    items = {item.item_id: item for item in catalogue.items}
    for item_id, count in Counter(item.item_id for item in catalogue.items).items():
        if count > 1:
            wrong.append(f"{item_id}: it is there {count} times")
    for item in catalogue.items:
        if item.kind not in known:
            wrong.append(f"{item.item_id}: kind {item.kind} is not one of {', '.join(known)}")
        if item.on_sale and item.price is None:
            wrong.append(
                f"{item.item_id}: it has no price: give one, 0 where it is free, or on_sale: false where it"
                " is only given"
            )
        if item.price is not None and item.currency is None:
            wrong.append(f"{item.item_id}: it has a price and no currency")
        if item.currency is not None and item.currency not in catalogue.currencies:
            wrong.append(f"{item.item_id}: currency {item.currency} is not in the list of currencies")
    first = items.get(DEFAULT_SKIN)
    if first is None or first.kind != SKIN or not first.free:
        wrong.append(f"{DEFAULT_SKIN}: everybody wears it at first: it must be a skin on sale at price 0")
    if wrong:
        raise CatalogueError(wrong)


async def stored(connection: asyncpg.Connection) -> Catalogue:
    """What the store has. Raises CatalogueError for items that this release cannot read."""
    row = await connection.fetchrow(IN_STORE)
    return parse_stored(row["items"], row["currencies"])


async def put(
    connection: asyncpg.Connection,
    items: Iterable[Item],
    currencies: Iterable[str] | None = None,
    *,
    replace: bool = True,
) -> None:
    """Put items into the store, unchecked. Others stay.

    Args:
        connection: to the store.
        items: what is put.
        currencies: are known from then on; None: those of the items.
        replace: an item that is there is replaced, its stock included; else it stays as it is.
    """
    rows = [item.model_dump() for item in items]
    named = {row["currency"] for row in rows if row["currency"]} if currencies is None else set(currencies)
    await connection.execute(
        "INSERT INTO currencies SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", sorted(named)
    )
    await connection.execute(_UPSERT + (_REPLACE if replace else "NOTHING"), json.dumps(rows))


async def seed(store_url: str) -> None:
    """Put the shipped catalogue into a store that has none; into another one what costs nobody anything.

    What is free or only given is what players wear at first, and what the shipped seasons give. Whoever puts
    the skin that everybody wears does the rest, too: others wait for that row, and then see it. No table is
    locked, which distributed databases refuse.
    """
    connection = await store_address.connect(store_url, command_timeout=STATEMENT_S)
    try:
        async with connection.transaction():
            shipped, items = read_file(), read()
            await put(connection, [], shipped.currencies)
            skin = json.dumps([item.model_dump() for item in items if item.item_id == DEFAULT_SKIN])
            is_first = await connection.fetchval(_UPSERT + "NOTHING RETURNING item_id", skin)
            others = "SELECT EXISTS (SELECT FROM catalogue WHERE item_id <> $1)"
            if not is_first or await connection.fetchval(others, DEFAULT_SKIN):
                items = [item for item in items if not item.price]
            await put(connection, items, shipped.currencies, replace=False)
    finally:
        connection.terminate()


async def put_checked(store_url: str, new: Catalogue, kinds: Iterable[str] = KINDS) -> None:
    """Put a file's catalogue into a store, if it makes sense together with what is there.

    Raises CatalogueError, with every mistake: then nothing was put.
    """
    connection = await store_address.connect(store_url, command_timeout=STATEMENT_S)
    try:
        async with connection.transaction():
            there = await stored(connection)
            fresh = {item.item_id for item in new.items}
            kept = [item for item in there.items if item.item_id not in fresh]
            currencies = (*there.currencies, *new.currencies)
            check(Catalogue((*kept, *new.items), currencies), kinds)
            await put(connection, new.items, new.currencies)
    finally:
        connection.terminate()


def main() -> int:
    """Put a file's items into the store that the settings name."""
    from launchday.settings import settings

    parser = argparse.ArgumentParser(prog="python -m meta_service.store.catalogue", description=__doc__)
    parser.add_argument("file", type=Path, help="a YAML file like the shipped catalogue.yaml")
    arguments = parser.parse_args()
    own = settings()
    try:
        new = read_file(arguments.file)
        asyncio.run(put_checked(own.store_url, new, own.kinds))
    except OSError as error:
        show_error(f"{arguments.file}: {' '.join(str(error).split())}")
        return 2
    except CatalogueError as error:
        for mistake in error.mistakes:
            show_error(f"{arguments.file}: {mistake}")
        return 2
    Terminal().print(f"{len(new.items)} items are in the catalogue")
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
