"""The catalogue: what is for sale, as data.

``python -m meta_service.store.catalogue FILE`` puts a file's items into the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import asyncpg
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from launchday import startup
from launchday.terminal import Terminal, show_error
from meta_service.store.connections import open_connection

SHIPPED = Path(__file__).parent / "catalogue.yaml"
MAX_PRICE = 2**40
STATEMENT_S = 30.0  # waiting for another that seeds included; asyncpg bounds its own cancellations by it too

Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]


class Item(BaseModel):
    """One thing for sale.

    Attributes:
        price: of one piece, in the currency's smallest unit.
        stock: pieces left for all players together; None: unlimited.
        max_owned: pieces one player may own.
        refundable_s: seconds after the purchase in which the player may give it back.
        on_sale: whether it can be bought now; what was bought stays.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: Slug
    kind: Slug
    title: Annotated[str, Field(min_length=1, max_length=100)]
    currency: Slug
    price: Annotated[int, Field(ge=0, le=MAX_PRICE)]
    stock: Annotated[int | None, Field(ge=0)] = None
    max_owned: Annotated[int, Field(ge=1, le=10**9)] = 1
    refundable_s: Annotated[int, Field(ge=0, le=10**9)] = 0
    on_sale: bool = True


_ITEMS = TypeAdapter(list[Item])

_UPSERT = """
INSERT INTO catalogue (item_id, kind, title, currency, price, stock, max_owned, refundable_s, on_sale)
SELECT item_id, kind, title, currency, price, stock, max_owned, refundable_s, on_sale
FROM json_to_recordset($1::json) AS item (item_id text, kind text, title text, currency text, price bigint,
    stock bigint, max_owned bigint, refundable_s bigint, on_sale boolean)
ON CONFLICT (item_id) DO UPDATE
    SET kind = excluded.kind, title = excluded.title, currency = excluded.currency, price = excluded.price,
        stock = excluded.stock, max_owned = excluded.max_owned, refundable_s = excluded.refundable_s,
        on_sale = excluded.on_sale
"""


def read(path: Path = SHIPPED) -> list[Item]:
    """Read a catalogue file; raises OSError, yaml.YAMLError or pydantic's ValidationError."""
    return _ITEMS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


async def put(connection: asyncpg.Connection, items: list[Item]) -> None:
    """Put items into the store. An item that is there is replaced, its stock included; others stay."""
    rows = [item.model_dump() for item in items]
    await connection.execute(_UPSERT, json.dumps(rows))


async def seed(store_url: str) -> None:
    """Put the shipped catalogue into a store that has none."""
    connection = await open_connection(store_url, command_timeout=STATEMENT_S)
    try:
        async with connection.transaction():
            await connection.execute(
                "LOCK TABLE catalogue IN SHARE ROW EXCLUSIVE MODE"
            )  # one seeds, others look
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM catalogue)"):
                await put(connection, read())
    finally:
        connection.terminate()


async def _put(store_url: str, items: list[Item]) -> None:
    connection = await open_connection(store_url, command_timeout=STATEMENT_S)
    try:
        await put(connection, items)
    finally:
        connection.terminate()


def main() -> int:
    """Put a file's items into the store that the settings name."""
    from launchday.settings import settings

    parser = argparse.ArgumentParser(prog="python -m meta_service.store.catalogue", description=__doc__)
    parser.add_argument("file", type=Path, help="a YAML file like the shipped catalogue.yaml")
    arguments = parser.parse_args()
    try:
        items = read(arguments.file)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        show_error(f"{arguments.file}: {' '.join(str(error).split())}")
        return 2
    asyncio.run(_put(settings().store_url, items))
    Terminal().print(f"{len(items)} items are in the catalogue")
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
