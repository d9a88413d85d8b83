"""Routes for operators about money, items and the catalogue. Each act says why, and is noted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from launchday.identity import Identity
from launchday.service import OperatorCaller, ViewerCaller, read_again
from meta_service.context import InContext
from meta_service.domain.shop import Actor
from meta_service.messages.base import MAX_PLAYER_ID, read
from meta_service.messages.money import (
    CatalogueInForce,
    ItemOrder,
    ItemsMoved,
    MoneyMoved,
    MoneyOrder,
    OperatorStatement,
)
from meta_service.routes.message_route import FromBody, MessageRoute, OtherPlayer
from meta_service.routes.money import IdempotencyKey

router = APIRouter(prefix="/v1/operator", tags=["operators"], route_class=MessageRoute)

EntryNumber = Annotated[int, Query(ge=1, le=MAX_PLAYER_ID, description="Only entries older than this one.")]


@router.post("/players/{player_id}/grants")
async def grant(
    player_id: OtherPlayer,
    order: FromBody[MoneyOrder],
    key: IdempotencyKey,
    operator: OperatorCaller,
    context: InContext,
) -> MoneyMoved:
    """Put money into a player's wallet, once for each key."""
    return await _move_money(player_id, order, order.amount, key, operator, context)


@router.post("/players/{player_id}/debits")
async def debit(
    player_id: OtherPlayer,
    order: FromBody[MoneyOrder],
    key: IdempotencyKey,
    operator: OperatorCaller,
    context: InContext,
) -> MoneyMoved:
    """Take money out of a player's wallet, once for each key. Refused where it holds less."""
    return await _move_money(player_id, order, -order.amount, key, operator, context)


@router.post("/players/{player_id}/items/grants")
async def give_items(
    player_id: OtherPlayer,
    order: FromBody[ItemOrder],
    key: IdempotencyKey,
    operator: OperatorCaller,
    context: InContext,
) -> ItemsMoved:
    """Give a player pieces of an item, for sale or not, once for each key. Refused past the item's limit."""
    return await _move_items(player_id, order, order.quantity, key, operator, context)


@router.post("/players/{player_id}/items/takes")
async def take_items(
    player_id: OtherPlayer,
    order: FromBody[ItemOrder],
    key: IdempotencyKey,
    operator: OperatorCaller,
    context: InContext,
) -> ItemsMoved:
    """Take pieces of an item from a player, once for each key; what is worn of it is taken off.

    Refused where the player has fewer.
    """
    return await _move_items(player_id, order, -order.quantity, key, operator, context)


@router.get("/players/{player_id}/statement")
async def statement(
    player_id: OtherPlayer,
    _: ViewerCaller,
    context: InContext,
    before: EntryNumber = MAX_PLAYER_ID,
    movements_before: EntryNumber = MAX_PLAYER_ID,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> OperatorStatement:
    """Read how a player came by what they have: ledger entries and movements of items, newest first."""
    return read(
        OperatorStatement,
        {
            "entries": await context.shop.statement(player_id, before, limit),
            "movements": await context.shop.movements(player_id, movements_before, limit),
        },
    )


@router.post("/catalogue/reload")
async def reload_catalogue(
    operator: OperatorCaller, request: Request, context: InContext
) -> CatalogueInForce:
    """Read the store's catalogue again, and put it in force if it makes sense; else the old one stays.

    422: it makes none; ``mistakes`` has a line for each. Other processes follow within seconds.
    """
    await read_again(request.app, "catalogue")
    found = context.players.wardrobe.wearables
    now, detail = context.clock.wall(), {"mark": found.mark}
    await context.audit.note(operator.subject, "reload catalogue", None, "", detail, now)
    return CatalogueInForce(len(found.kinds), found.mark)


async def _move_money(
    player_id: int, order: MoneyOrder, amount: int, key: str, operator: Identity, context: InContext
) -> MoneyMoved:
    by, now = Actor(operator.subject, operator=True), context.clock.wall()
    answer = await context.shop.credit(player_id, key, order.currency, amount, order.reason, by, now)
    return read(MoneyMoved, answer)


async def _move_items(
    player_id: int, order: ItemOrder, quantity: int, key: str, operator: Identity, context: InContext
) -> ItemsMoved:
    by, now = Actor(operator.subject, operator=True), context.clock.wall()
    answer = await context.shop.move_items(player_id, key, order.item_id, quantity, order.reason, by, now)
    return read(ItemsMoved, answer)
