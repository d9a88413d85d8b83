"""Routes about money and goods: the store that players buy from, wallets, and what services may do to them.

All of it is decided in the global store. While that does not answer, every route here answers 503 with
Retry-After, and nothing else of the meta service stops.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query

from launchday.identity import SERVICE
from launchday.service import ServiceCaller, require
from meta_service.context import InContext, LivePlayer
from meta_service.domain.shop import Actor
from meta_service.messages.base import MAX_PLAYER_ID, read
from meta_service.messages.money import (
    Catalogue,
    Grant,
    GrantRequest,
    Inventory,
    Purchase,
    PurchaseRequest,
    Refund,
    RefundRequest,
    Statement,
    Wallet,
)
from meta_service.routes.message_route import FromBody, MessageRoute

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{8,64}$",
        description="Made up by the caller for one request and sent again with every repeat of it.",
        examples=["0f8e2d6c-4a1b-4c3d-9e5f-6a7b8c9d0e1f"],
    ),
]

router = APIRouter(prefix="/v1", tags=["money"], route_class=MessageRoute)
services = APIRouter(
    prefix="/v1/internal",
    tags=["services"],
    dependencies=[Depends(require(SERVICE))],
    route_class=MessageRoute,
)


@router.get("/store/catalogue")
async def catalogue(_: LivePlayer, context: InContext) -> Catalogue:
    """List what is for sale."""
    return read(Catalogue, {"items": await context.shop.catalogue()})


@router.post("/store/purchases")
async def purchase(
    order: FromBody[PurchaseRequest], key: IdempotencyKey, caller: LivePlayer, context: InContext
) -> Purchase:
    """Buy. Under one key it happens once, however often it is repeated, and every answer is the first one."""
    answer = await context.shop.purchase(
        caller.player_id, key, order.item_id, order.quantity, order.unit_price, context.clock.wall()
    )
    return read(Purchase, answer)


@router.post("/store/purchases/{purchase_id}/refund")
async def refund(purchase_id: UUID, caller: LivePlayer, context: InContext) -> Refund:
    """Give the caller's purchase back within the item's time for it. Asking again changes nothing."""
    return read(Refund, await context.shop.refund(purchase_id, context.clock.wall(), caller.player_id))


@router.get("/wallet")
async def wallet(caller: LivePlayer, context: InContext) -> Wallet:
    """Read the caller's balances from the store; the profile shows the cache's, which may lag a moment."""
    return Wallet(balances=await context.shop.wallet(caller.player_id))


@router.get("/wallet/entries")
async def statement(
    caller: LivePlayer,
    context: InContext,
    before: Annotated[
        int, Query(ge=1, le=MAX_PLAYER_ID, description="Only entries older than this one.")
    ] = MAX_PLAYER_ID,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Statement:
    """Read the caller's ledger entries, newest first; the last ``entry_no`` is the next page's ``before``."""
    entries = await context.shop.statement(caller.player_id, before, limit)
    for entry in entries:
        entry["actor"] = entry["actor"].partition(":")[0]  # which operator it was is none of the player's
    return read(Statement, {"entries": entries})


@router.get("/inventory")
async def inventory(caller: LivePlayer, context: InContext) -> Inventory:
    """Read what one owns."""
    return read(Inventory, {"items": await context.shop.inventory(caller.player_id)})


@services.post("/grants")
async def grant(
    order: FromBody[GrantRequest], key: IdempotencyKey, caller: ServiceCaller, context: InContext
) -> Grant:
    """Put money into a player's wallet, once for each key."""
    actor, now = Actor(caller.subject), context.clock.wall()
    answer = await context.shop.credit(
        order.player_id, key, order.currency, order.amount, order.reason, actor, now
    )
    return read(Grant, answer)


@services.post("/refunds")
async def refund_for_player(
    order: FromBody[RefundRequest], caller: ServiceCaller, context: InContext
) -> Refund:
    """Give a player's purchase back, whatever the time. Asking again changes nothing."""
    actor, now = Actor(caller.subject), context.clock.wall()
    return read(Refund, await context.shop.refund(order.purchase_id, now, by=actor))
