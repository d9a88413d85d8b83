"""/readyz of the meta service: with which parts away it still says that asking it is worth while."""

from __future__ import annotations

import asyncpg

from launchday.engines import free_port
from launchday.settings import Settings
from tests.meta_service.conftest import Clock, running


async def readiness(settings: Settings) -> tuple[int, dict[str, str]]:
    """The code, and the parts that are not well with the first words of what is wrong."""
    async with running(settings, Clock()) as backend:
        answer = await backend.http.get("/readyz")
        parts: dict[str, str] = answer.json()["parts"]
        assert set(parts) == {"cache", "store", "schema"}
        return answer.status_code, {name: said for name, said in parts.items() if said != "ok"}


async def test_all_is_well(settings: Settings) -> None:
    assert await readiness(settings) == (200, {})


async def test_without_the_store_it_goes_on_for_those_whom_the_cache_knows(settings: Settings) -> None:
    away = f"postgresql://launchday@127.0.0.1:{free_port()}/postgres"
    code, wrong = await readiness(settings.model_copy(update={"store_url": away}))
    assert code == 200
    assert set(wrong) == {"store"}


async def test_without_the_cache_it_can_answer_nothing(settings: Settings) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    code, wrong = await readiness(settings.model_copy(update={"cache_url": away}))
    assert code == 503
    assert set(wrong) == {"cache"}


async def test_a_schema_older_than_the_code_is_said_with_the_line_to_type(settings: Settings) -> None:
    store = await asyncpg.connect(settings.store_url)
    await store.execute("UPDATE alembic_version SET version_num = 'r0001_old'")
    await store.close()
    code, wrong = await readiness(settings)
    assert code == 503
    assert "python -m meta_service.store.schema" in wrong["schema"]
