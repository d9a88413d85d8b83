"""``launchday events``: dead letters, queries, the heat map, and rebuilding progression."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from launchday import outputs, startup
from launchday.clock import SystemClock
from launchday.resilience.bus import Bus, BusAddress
from launchday.resilience.store_address import without_secrets
from launchday.settings import ENV_PREFIX, Settings, settings
from launchday.terminal import Terminal, fail, run_command, table
from rewards.errors import DeadLettersError, RewardsError

if TYPE_CHECKING:
    from rewards.dead_letters import DeadLetter

# DuckDB, Arrow and Kafka's client are imported when a command needs them: they cost a second.

T = TypeVar("T")
ERROR, USAGE = 1, 2
EVENT_FILES = "day=*/kind=*/part-*.parquet"  # below the folder of a backend's events

app = typer.Typer(
    name="events", help="Dead letters, and questions about what has happened.", no_args_is_help=True
)
dead_letters_app = typer.Typer(help="Records that were no events: list, show, resend.", no_args_is_help=True)
app.add_typer(dead_letters_app, name="dead-letters")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        help="The folder of Parquet files; without it, that of the backend that has taken events last."
    ),
]
BrokerOption = Annotated[
    str,
    typer.Option(
        "--kafka",
        help="host:port of Kafka; without it, LAUNCHDAY_KAFKA_BOOTSTRAP, or the broker that runs here.",
    ),
]


@dead_letters_app.command(name="list")
def list_dead_letters(kafka: BrokerOption = "", as_json: JsonOption = False) -> None:
    """List the dead letters: origin, reason, and whether this version would still refuse each."""
    found = _read(_broker_address(kafka))
    if as_json:
        for letter in found:
            print(json.dumps(_summary(letter)))
        return
    shown = table("origin", "when", "bytes", "reason", "today", title=f"{len(found)} dead letters")
    for letter in found:
        shown.add_row(
            letter.origin,
            _time(letter.timestamp_ms),
            str(len(letter.value)),
            letter.reason,
            "still bad" if letter.current_error else "good",
        )
    Terminal().print(shown)


@dead_letters_app.command(name="show")
def show_dead_letter(
    origin: Annotated[str, typer.Argument(help="topic/partition/offset, as list shows it.")],
    kafka: BrokerOption = "",
) -> None:
    """Show one dead letter as JSON: its record in base64, and as much of it as can be read."""
    from rewards.events import Envelope

    letter = _select(_read(_broker_address(kafka)), [origin])[0]
    found = _summary(letter) | {
        "key": base64.b64encode(letter.key).decode(),
        "value": base64.b64encode(letter.value).decode(),
    }
    try:
        found["readable"] = str(Envelope.FromString(letter.value))
    except Exception:  # protobuf's errors depend on its implementation; a letter may be anything
        found["readable"] = None
    print(json.dumps(found, indent=2))


@dead_letters_app.command(name="resend")
def resend_dead_letters(
    origins: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset, as list shows it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every letter that this version accepts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also letters that are still bad.")] = False,
    at_arrival: Annotated[
        bool,
        typer.Option("--at-arrival", help="Events of wrong clocks, too: as if they had happened on arrival."),
    ] = False,
    kafka: BrokerOption = "",
) -> None:
    """Resend dead letters to the topic that they came from.

    An event counts once, however often it is sent.
    """
    from rewards import dead_letters

    if every == bool(origins):
        fail("give the origins of letters, or --all", USAGE)
    bus = _broker_address(kafka)
    found = _read(bus)
    chosen = found if every else _select(found, origins or [])
    if at_arrival:
        chosen = [letter.at_arrival() for letter in chosen]
    good = [letter for letter in chosen if force or not letter.current_error]
    _run(dead_letters.resend(bus, good))
    skipped = len(chosen) - len(good)
    note = f"; {skipped} still bad skipped (--force resends them)" if skipped else ""
    Terminal().print(f"{len(good)} resent{note}")


@app.command()
def query(
    question: Annotated[str, typer.Argument(help="SQL over the views, or the name of a ready question.")],
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Query the events with DuckDB. Each kind of event is a view: kill, death, match_started, purchase, …"""
    from rewards.analytics import query as queries
    from rewards.analytics.questions import QUESTIONS

    ready = QUESTIONS.get(question)
    try:
        answer = queries.run(_lake_folder(folder), ready.sql if ready else question)
    except RewardsError as error:
        fail(str(error))
    if as_json:
        for row in answer.rows:
            print(json.dumps(_json_value(dict(zip(answer.columns, row, strict=True))), allow_nan=False))
        return
    shown = table(*answer.columns, title=ready.title if ready else "")
    for row in answer.rows:
        shown.add_row(*("" if value is None else _as_text(value) for value in row))
    Terminal().print(shown)


@app.command()
def questions() -> None:
    """List the ready questions."""
    from rewards.analytics.questions import QUESTIONS

    console = Terminal()
    for name, question in QUESTIONS.items():
        console.print(f"{name:<12} {question.title}")


@app.command()
def newer(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """List what waits for a program that knows more: events of a newer version than the one that met them."""
    from rewards import kept_events

    config = _settings()
    live = config.store_url or _local_engines(config).get("store", "")
    try:
        found = asyncio.run(kept_events.of_store(live)) if live else []
    except RewardsError as error:
        fail(f"the store at {live} cannot be read: {error}")
    if kept := kept_events.in_lake(_lake_folder(folder)):
        found.append(kept_events.Waiting("analytics", "", kept))
    found += kept_events.in_spools(config.state_dir)
    if as_json:
        for each in found:
            print(json.dumps(each.as_json()))
        return
    shown = table("place", "what is newer", "events", title=f"{len(found)} rows", right=("events",))
    for each in found:
        shown.add_row(each.place, each.newer, str(each.events))
    Terminal().print(shown)


@app.command(name="heat-map")
def heat_map(
    picture: Annotated[Path, typer.Argument(help="The PNG file to write.")] = Path("deaths.png"),
    folder: FolderOption = None,
) -> None:
    """Draw where players died, as a PNG file."""
    from rewards.analytics import heat_map as drawing

    try:
        outputs.check(picture)
        looked_at = _lake_folder(folder)
        deaths = drawing.draw(looked_at, picture)
    except (RewardsError, outputs.OutputError) as error:
        fail(str(error))
    Terminal().print(f"{deaths} deaths{'' if folder else f' of {looked_at}'} are in {picture}")


@app.command()
def gaps(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """List what the logs no longer had when it was to be read: by rewards, from the store, and by analytics.

    cut: their beginning is gone (retention, delete_records); truncated: their end; replaced: made anew.
    """
    from rewards.events.logs.gaps import gaps_of_lake

    config = _settings()
    live = config.store_url or _local_engines(config).get("store", "")
    lake = gaps_of_lake(_lake_folder(folder))
    if not live and lake is None:
        fail(f"no store runs here: set {ENV_PREFIX}STORE_URL, or give --folder of analytics", USAGE)
    found = [{"consumer": "rewards", **gap} for gap in (asyncio.run(_stored_gaps(live)) if live else [])]
    found += [{"consumer": "analytics", **gap} for gap in lake or []]
    found.sort(key=lambda gap: float(gap["noticed_at"]))
    if as_json:
        for gap in found:
            print(json.dumps(gap))
        return
    numbers = ("partition", "from", "to", "missing")
    shown = table(
        "consumer",
        "when",
        "topic",
        "finding",
        *numbers,
        title=f"{len(found)} gaps in the logs",
        right=numbers,
    )
    for gap in found:
        missing = "unknown" if gap["missing"] is None else str(gap["missing"])
        places = (str(gap[name]) for name in ("partition", "from", "to"))
        when = _time(int(gap["noticed_at"] * 1000))
        shown.add_row(gap["consumer"], when, gap["topic"], gap["finding"], *places, missing)
    Terminal().print(shown)


@app.command()
def rebuild(
    store_url: Annotated[str, typer.Argument(help="postgresql:// address of an empty database.")],
    kafka: BrokerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Rebuild progression from the whole log in an empty database, and compare it with the running store."""
    from rewards.arrival import ArrivalCheck
    from rewards.consumer import rebuild as rebuilding
    from rewards.progression import rules

    config = _settings()
    bus = _broker_address(kafka)
    done = subprocess.run(
        [sys.executable, "-m", "meta_service.store.schema"],
        env={**os.environ, f"{ENV_PREFIX}STORE_URL": store_url},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        fail(f"the database at {without_secrets(store_url)} cannot be used: {last}")
    try:
        clock = SystemClock()
        own_rules = rules.configured(config.rules, config.seasons)
        found: dict[str, Any] = asdict(
            asyncio.run(
                rebuilding.rebuild(
                    bus,
                    config.topic_prefix,
                    store_url,
                    own_rules,
                    clock,
                    ArrivalCheck.of(config, clock),
                )
            )
        )
        if live := config.store_url or _local_engines(config).get("store", ""):
            found["live_digest"] = asyncio.run(rebuilding.digest(live))
            found["identical"] = found["live_digest"] == found["digest"]
    except RewardsError as error:
        fail(str(error))
    if as_json:
        print(json.dumps(found))
    else:
        console = Terminal()
        for name, value in found.items():
            console.print(f"{name.replace('_', ' '):<12} {value}")
    if found.get("identical") is False:
        raise typer.Exit(ERROR)


def _read(bus: BusAddress) -> list[DeadLetter]:
    from rewards import dead_letters

    return _run(dead_letters.read_all(bus, _settings().topic_prefix))


def _run(work: Coroutine[Any, Any, T]) -> T:
    async def work_and_release() -> T:
        try:
            return await work
        finally:
            await asyncio.sleep(
                0
            )  # the event loop releases closed connections at its next turn, and ends after it

    try:
        return asyncio.run(work_and_release())
    except DeadLettersError as error:
        fail(str(error))


async def _stored_gaps(store_url: str) -> list[dict[str, Any]]:
    from rewards.consumer.store_connection import ConnectionPool
    from rewards.consumer.stored_positions import MAX_GAPS, StoredPositions

    connections = ConnectionPool(store_url)
    try:
        found = await StoredPositions(connections, "rewards").gaps(MAX_GAPS)
    except RewardsError as error:
        fail(f"the store at {without_secrets(store_url)} cannot be read: {error}")
    finally:
        await connections.close()
    return [{**gap.as_json(), "noticed_at": at} for gap, at in found]


def _select(letters: list[DeadLetter], origins: list[str]) -> list[DeadLetter]:
    known = {letter.origin for letter in letters}
    if unknown := [origin for origin in origins if origin not in known]:
        fail(f"no dead letter came from {unknown[0]}: see launchday events dead-letters list")
    return [letter for origin in origins for letter in letters if letter.origin == origin]


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "origin": letter.origin,
        "time": _time(letter.timestamp_ms),
        "bytes": len(letter.value),
        "reason": letter.reason,
        "current_error": letter.current_error,
    }


def _settings() -> Settings:
    return settings()


def _broker_address(given: str) -> Bus:
    config = _settings()
    found = given or config.kafka_bootstrap or _local_engines(config).get("bus", "")
    if not found:
        fail(f"no broker runs here: set {ENV_PREFIX}KAFKA_BOOTSTRAP, or give --kafka", USAGE)
    return Bus.of(config.model_copy(update={"kafka_bootstrap": found}), SystemClock())


def _local_engines(config: Settings) -> dict[str, str]:
    """Return the addresses of the engines that a launcher runs in the state folder, by role."""
    for folder in _state_folders(config):
        try:
            started = json.loads((folder / "engines.json").read_text())
        except (OSError, ValueError):
            continue
        alive = {
            role: one["address"] for role, one in started.items() if Path(f"/proc/{one['pid']}").exists()
        }
        if alive:
            return alive
    return {}


def _lake_folder(given: Path | None) -> Path:
    if given is not None:
        return given
    folders = [folder / "analytics" for folder in _state_folders(_settings())]
    with_events = [folder for folder in folders if any(folder.glob(EVENT_FILES))]
    return max(with_events, key=_newest_s, default=folders[0])


def _state_folders(config: Settings) -> list[Path]:
    """The folders of backends on this machine: that of the settings first, those of runs and of others beside
    them below it.
    """
    below = [path for name in ("run", "run-*", "up-*") for path in sorted(config.state_dir.glob(name))]
    return [config.state_dir, *below]


def _newest_s(folder: Path) -> float:
    """When the last events came, in Unix seconds."""
    return max((path.stat().st_mtime for path in folder.glob(EVENT_FILES)), default=0.0)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _json_value(value: Any) -> Any:
    """Return a value of DuckDB's as one that JSON has: what is no finite number is a string."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [_json_value(one) for one in value]
        case dict():
            return {str(_json_value(key)): _json_value(one) for key, one in value.items()}
    return str(value)


def _as_text(value: Any) -> str:
    return str(_json_value(value))


if __name__ == "__main__":
    startup.prepare()
    sys.exit(run_command(app))
