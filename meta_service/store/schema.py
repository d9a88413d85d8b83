"""The global store's schema: bring a database up to date, from the launcher, a container, or a test.

``python -m meta_service.store.schema`` upgrades the database that ``LAUNCHDAY_STORE_URL`` names.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic import command
from alembic.config import Config

from launchday import startup
from meta_service.store import catalogue

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration(store_url: str) -> Config:
    """Alembic's configuration for one database, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["store_url"] = store_url  # an attribute, not an option: a password may hold a %
    return config


def migrate(store_url: str, revision: str = "head") -> None:
    """Upgrade the database at ``store_url`` (postgresql://…) to ``revision``, unless it is there already.

    At ``head`` a store without a catalogue gets the shipped one. Several processes may call it at once:
    they take turns. Blocks until done. Raises what asyncpg raises when the database cannot be reached.
    """
    # Alembic's asynchronous environment runs an event loop of its own, which a thread that has one cannot.
    with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
        thread.submit(command.upgrade, configuration(store_url), revision).result()
        if revision == "head":
            thread.submit(lambda: asyncio.run(catalogue.seed(store_url))).result()


def main() -> int:
    """Upgrade the store that the settings name."""
    from launchday.settings import settings

    store_url = settings().store_url
    if not store_url:
        print("LAUNCHDAY_STORE_URL is empty: give the address of the store to migrate", file=sys.stderr)
        return 2
    migrate(store_url)
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
