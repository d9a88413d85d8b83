"""``launchday writebehind``: changes that the store could not take: list, show, resend.

They lie in the region's cache: that of ``--cache``, of the setting ``cache_url``, or of a backend that runs
here. Where the store is known too, each is tried on it, in a transaction that is taken back, so that the list
says which would be taken today.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from launchday.cli.inputs import USAGE_ERROR, read_settings
from launchday.engines.stack import running_engines
from launchday.resilience.store_address import without_secrets
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, fail, show_error, table

if TYPE_CHECKING:
    from meta_service.domain.rejected_changes import RejectedChange, RejectedChanges

# The cache's and the store's clients are imported when a command needs them: they cost a third of a second.

ERROR = 1
T = TypeVar("T")
Verdicts = dict[str, str | None]  # by entry: why the store would not take it today; None: it would

app = typer.Typer(name="writebehind", help="Changes on their way to the store.", no_args_is_help=True)
rejected_app = typer.Typer(
    help="Changes that the store could not take: list, show, resend.", no_args_is_help=True
)
app.add_typer(rejected_app, name="rejected")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
CacheOption = Annotated[
    str,
    typer.Option(
        "--cache", help="redis://… of the cache; without it, LAUNCHDAY_CACHE_URL, or the one that runs here."
    ),
]
Entries = Annotated[list[str] | None, typer.Argument(help="Ids, as list shows them.")]


@rejected_app.command(name="list")
def list_rejected(cache: CacheOption = "", as_json: AsJson = False) -> None:
    """List the changes that were set aside: when, why, and whether the store would take each today."""
    found, today = _run(cache, _tried)
    if as_json:
        for one in found:
            print(json.dumps(_as_json(one, today)))
        return
    shown = table("entry", "when", "kinds", "reason", "today", title=f"{len(found)} rejected changes")
    for one in found:
        shown.add_row(
            one.entry, _time(one.rejected_at), ", ".join(one.changes), one.reason, _word(one, today)
        )
    Terminal().print(shown)


@rejected_app.command(name="show")
def show_rejected(
    entry: Annotated[str, typer.Argument(help="An id, as list shows it.")], cache: CacheOption = ""
) -> None:
    """Show one rejected change as JSON, with what was to be stored."""
    found, today = _run(cache, _tried)
    one = _select(found, [entry])[0]
    print(json.dumps(_as_json(one, today) | {"changes": _readable(one.changes)}, indent=2))


@rejected_app.command(name="resend")
def resend_rejected(
    entries: Entries = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every change that the store would take today.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also changes that it would not take.")] = False,
    cache: CacheOption = "",
) -> None:
    """Send rejected changes to the store again; doing it twice is the same as doing it once."""
    if every == bool(entries):
        fail("give the ids of changes, or --all", USAGE_ERROR)

    async def work(rejected: RejectedChanges, config: Settings) -> tuple[int, int]:
        found, today = await _tried(rejected, config)
        chosen = found if every else _select(found, entries or [])
        good = [one.entry for one in chosen if force or not today.get(one.entry)]
        return len(await rejected.resend(good)), len(chosen) - len(good)

    sent, skipped = _run(cache, work)
    note = f"; {skipped} that the store would not take skipped (--force sends them)" if skipped else ""
    Terminal().print(f"{sent} sent again{note}")


async def _tried(rejected: RejectedChanges, config: Settings) -> tuple[list[RejectedChange], Verdicts]:
    found = await rejected.all()
    if not config.store_url or not found:
        return found, {}
    return found, await _verdicts(config.store_url, found)


async def _verdicts(store_url: str, found: Sequence[RejectedChange]) -> Verdicts:
    from launchday.resilience import store_address
    from meta_service.store.apply import why_refused
    from meta_service.store.errors import UNAVAILABLE_ERRORS

    try:
        connection = await store_address.connect(store_url)
        try:
            return {
                one.entry: await why_refused(
                    connection, {kind: [text] for kind, text in one.changes.items()}, one.rejected_at
                )
                for one in found
            }
        finally:
            connection.terminate()
    except UNAVAILABLE_ERRORS as error:
        show_error(f"the store cannot be asked, so what it would take is not known: {error!r}")
        return {}


def _run(cache: str, work: Callable[[RejectedChanges, Settings], Awaitable[T]]) -> T:
    from redis.exceptions import RedisError

    from meta_service.cache import partitions
    from meta_service.cache.cache import connect
    from meta_service.domain.rejected_changes import RejectedChanges

    config = read_settings()
    here = running_engines(config.state_dir)
    address = cache or config.cache_url or here.get("cache", "")
    if not address:
        fail(f"no cache runs here: set {env_name('cache_url')}, or give --cache", USAGE_ERROR)
    config = config.model_copy(update={"store_url": config.store_url or here.get("store", "")})

    async def within() -> T:
        redis = connect(address)
        try:
            return await work(RejectedChanges(redis, await partitions.in_use(redis)), config)
        finally:
            await redis.aclose()

    try:
        return asyncio.run(within())
    except (RedisError, OSError) as error:
        fail(f"the cache at {without_secrets(address)} cannot be asked: {error}")


def _select(found: Sequence[RejectedChange], entries: Sequence[str]) -> list[RejectedChange]:
    known = {one.entry: one for one in found}
    if unknown := [entry for entry in entries if entry not in known]:
        fail(f"there is no rejected change {unknown[0]}: see launchday writebehind rejected list")
    return [known[entry] for entry in entries]


def _as_json(one: RejectedChange, today: Verdicts) -> dict[str, Any]:
    return {
        **asdict(one),
        "rejected_at": _time(one.rejected_at),
        "accepted_at": _time(one.accepted_at),
        "today": _word(one, today),
        "today_reason": today.get(one.entry),
    }


def _word(one: RejectedChange, today: Verdicts) -> str:
    if one.entry not in today:
        return "unknown"
    return "still bad" if today[one.entry] else "good"


def _readable(changes: dict[str, str]) -> dict[str, Any]:
    """The changes as JSON values; what is no JSON stays a text."""
    found: dict[str, Any] = {}
    for kind, text in changes.items():
        try:
            found[kind] = json.loads(text)
        except ValueError:
            found[kind] = text
    return found


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
