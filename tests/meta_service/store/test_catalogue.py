from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from meta_service import start_checks
from meta_service.store import catalogue
from meta_service.store.catalogue import Catalogue, CatalogueError, Item, read_file

RECRUIT = "- {item_id: recruit, kind: skin, title: Recruit, currency: coins, price: 0}\n"


def mistakes(text: str, tmp_path: Path, *, currencies: str = "[coins]") -> list[str]:
    """What is wrong with a file of these items and `recruit`."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(f"currencies: {currencies}\nitems:\n{RECRUIT}{text}", encoding="utf-8")
    try:
        catalogue.check(read_file(file))
    except CatalogueError as error:
        return error.mistakes
    return []


def test_the_shipped_catalogue_makes_sense() -> None:
    shipped = read_file()
    catalogue.check(shipped)
    assert {item.item_id for item in shipped.items if item.free} == {"recruit", "scout", "wave"}


@pytest.mark.parametrize(
    ("item", "mistake"),
    [
        ("{item_id: cap, kind: skin, title: Cap, currency: coins}", "cap: it has no price"),
        ("{item_id: cap, kind: skin, title: Cap, currency: coins, price: -1}", "cap: price: Input should be"),
        (
            "{item_id: cap, kind: skin, title: Cap, currency: coins, price: free}",
            "cap: price: Input should be",
        ),
        ("{item_id: cap, kind: skin, title: Cap, price: 5}", "cap: it has a price and no currency"),
        (
            "{item_id: cap, kind: skin, title: Cap, price: 5, currency: conis}",
            "cap: currency conis is not in",
        ),
        ("{item_id: cap, kind: skn, title: Cap, price: 5, currency: coins}", "cap: kind skn is not one of"),
        (
            "{item_id: recruit, kind: skin, title: Cap, price: 5, currency: coins}",
            "recruit: it is there 2 times",
        ),
        (
            "{item_id: Cap!, kind: skin, title: Cap, price: 5, currency: coins}",
            "Cap!: item_id: String should",
        ),
        ("{item_id: cap, kind: skin, title: Cap, prise: 5, currency: coins}", "cap: prise: Extra inputs"),
        ("{item_id: cap, kind: skin, title: Cap, price: 5, currency: coins, stock: -1}", "cap: stock: Input"),
        ("{item_id: cap, kind: skin, title: Cap, price: yes, currency: coins}", "cap: price: Input"),
        ('{item_id: cap, kind: skin, title: "  ", price: 5, currency: coins}', "cap: its title cannot be"),
        ('{item_id: cap, kind: skin, title: "C\\0", price: 5, currency: coins}', "cap: its title cannot be"),
        ("{kind: skin}", "item 2: item_id: Field required"),
        ("just-a-name", "item 2: : Input should be"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(item: str, mistake: str, tmp_path: Path) -> None:
    assert mistakes(f"- {item}\n", tmp_path)[0].startswith(mistake)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(
        "- {item_id: a, kind: skn, title: A, price: 5, currency: conis}\n"
        "- {item_id: b, kind: skin, title: B}\n"
        "- {item_id: given, kind: skin, title: Given, on_sale: false}\n",
        tmp_path,
    )
    assert [line.partition(":")[0] for line in found] == ["a", "a", "b"]


def test_what_players_wear_at_first_has_to_be_free() -> None:
    def of(**changes: object) -> Catalogue:
        items = [
            item.model_copy(update=changes if item.item_id == "recruit" else {}) for item in catalogue.read()
        ]
        return Catalogue(tuple(items), ("coins",))

    for changes in ({"price": 5}, {"on_sale": False}, {"kind": "emote"}, {"item_id": "other"}):
        with pytest.raises(CatalogueError, match="recruit: everybody wears it at first"):
            catalogue.check(of(**changes))


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "7",
        "{item: []}",
        "items: 7",
        "currencies: coins",
        "currencies: ['']",
        "currencies: [Big Coins]",
        'currencies: ["a\\0b"]',
        "[" * 5000,
        "items: 2026-13-01",
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError):
        read_file(file)


async def test_a_file_is_put_whole_or_not_at_all(store: asyncpg.Connection, store_url: str) -> None:
    cap = Item(item_id="cap", kind="skin", title="Cap", price=5, currency="coins")
    with pytest.raises(CatalogueError, match="cup: currency gems is not in the list"):
        await catalogue.put_checked(
            store_url, Catalogue((cap, cap.model_copy(update={"item_id": "cup", "currency": "gems"})), ())
        )
    paid = Item(item_id="recruit", kind="skin", title="Recruit", price=1, currency="coins")
    with pytest.raises(CatalogueError, match="recruit: everybody"):
        await catalogue.put_checked(store_url, Catalogue((paid,), ()))
    assert await catalogue.stored(store) == Catalogue(
        tuple(sorted(catalogue.read(), key=lambda item: item.item_id)), ("coins",)
    )
    dear = cap.model_copy(update={"item_id": "cup", "currency": "gems"})
    await catalogue.put_checked(store_url, Catalogue((cap, dear), ("gems",)))
    assert (await catalogue.stored(store)).currencies == ("coins", "gems")


async def test_a_store_of_an_earlier_release_gets_what_costs_nothing_and_keeps_its_own(
    store: asyncpg.Connection, store_url: str
) -> None:
    await store.execute("DELETE FROM catalogue")
    await catalogue.put(store, [Item(item_id="wave", kind="emote", title="Ours", price=9, currency="coins")])
    await catalogue.seed(store_url)
    found = {item.item_id: item for item in (await catalogue.stored(store)).items}
    assert found["wave"].price == 9
    assert found.keys() == {item.item_id for item in catalogue.read() if not item.price}


async def test_a_service_does_not_start_on_a_catalogue_that_makes_no_sense(
    store: asyncpg.Connection, store_url: str
) -> None:
    kinds = catalogue.KINDS
    await asyncio.to_thread(start_checks.check_catalogue, store_url, kinds)
    await asyncio.to_thread(start_checks.check_catalogue, "postgresql://nobody@127.0.0.1:1/none", kinds)
    await store.execute("UPDATE catalogue SET kind = 'skn', currency = 'conis' WHERE item_id = 'nightfall'")
    with pytest.raises(SystemExit) as end:
        await asyncio.to_thread(start_checks.check_catalogue, store_url, kinds)
    assert str(end.value).splitlines() == [
        "error: catalogue: nightfall: kind skn is not one of skin, emote, spray, title, consumable",
        "error: catalogue: nightfall: currency conis is not in the list of currencies",
    ]
