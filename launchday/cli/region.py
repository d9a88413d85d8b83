"""``launchday region lost NAME``: a region is gone for good, and its matches let go of their players."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from launchday.cli.inputs import USAGE_ERROR, read_settings
from launchday.engines.stack import running_engines
from launchday.settings import env_name
from launchday.terminal import Terminal, fail

# The store's client is imported when the command needs it: it costs a third of a second.

ERROR = 1

app = typer.Typer(name="region", help="Regions that share a store.", no_args_is_help=True)


@app.callback()
def region() -> None:
    """Regions that share a store."""


@app.command()
def lost(
    name: Annotated[str, typer.Argument(help="Of the region, as LAUNCHDAY_REGIONS of its fleet has it.")],
    sure: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where the region still stores.")] = False,
) -> None:
    """Declare a region lost: players of its matches may play elsewhere at once, not when their leases end."""
    from launchday.clock import SystemClock
    from launchday.resilience import store_address
    from launchday.resilience.clocks.store_time import StoreTime
    from meta_service.store import lost_region
    from meta_service.store.errors import UNAVAILABLE_ERRORS

    config = read_settings()
    url = config.store_url or running_engines(config.state_dir).get("store", "")
    if not url:
        fail(f"no store runs here: set {env_name('store_url')}", USAGE_ERROR)

    async def work() -> tuple[lost_region.LostRegion, int]:
        connection = await store_address.connect(url)
        try:
            now = await StoreTime(SystemClock()).now(connection)
            found = await lost_region.find(connection, name, now)
            alive = found.stored_s_ago is not None and not force
            return found, 0 if alive or not sure else await lost_region.declare(connection, name, now)
        finally:
            connection.terminate()

    try:
        found, ended = asyncio.run(work())
    except UNAVAILABLE_ERRORS as error:
        fail(f"the store does not answer: {store_address.explained(error)}", ERROR)
    held = f"{found.players:,} players are held by {found.matches:,} matches of {name}"
    if found.stored_s_ago is not None and not force:
        ago = f"{found.stored_s_ago:.0f} s ago"
        fail(f"{name} is there: it stored something {ago}; end it first, or add --force", ERROR)
    if not sure:
        Terminal().print(f"{held}; launchday region lost {name} --yes lets them go")
        return
    Terminal().print(f"{held}: {ended:,} leases were ended; other regions know within two seconds")
