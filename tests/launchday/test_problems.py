from __future__ import annotations

import httpx2
from fastapi import FastAPI

from launchday import problems


async def test_a_client_is_told_that_a_fault_closes_its_connection() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise RuntimeError("planted")

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(base_url="http://app", transport=transport) as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert answer.headers["connection"] == "close"
    assert answer.json()["type"] == "urn:launchday:internal-error"
