"""A service without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from launchday.settings import Settings


def settings_with_keys() -> Settings:
    """Settings with which a service can be made."""
    return Settings(identity_secret=SecretStr("s" * 32))


@asynccontextmanager
async def nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    """The lifespan of a service that needs nothing."""
    yield


@asynccontextmanager
async def answering(app: FastAPI) -> AsyncIterator[httpx2.ASGITransport]:
    """Run an application's lifespan, and give the transport to it."""
    async with app.router.lifespan_context(app):
        yield httpx2.ASGITransport(app)
