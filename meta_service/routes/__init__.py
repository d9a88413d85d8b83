"""The routes, one module a subject: they check the caller and the body, and call the domain."""

from __future__ import annotations

from fastapi import APIRouter

from meta_service.routes import (
    accounts,
    lookup,
    money,
    operator_money,
    operators,
    parties,
    players,
    progress,
    rejected_changes,
    servers,
    sessions,
    social,
)

ROUTERS: tuple[APIRouter, ...] = (
    sessions.router,
    sessions.services,
    accounts.router,
    accounts.operators,
    players.router,
    progress.router,
    servers.router,
    lookup.router,
    money.router,
    money.services,
    parties.router,
    parties.services,
    social.router,
    social.services,
    operators.router,
    operator_money.router,
    progress.operators,
    rejected_changes.router,
)
