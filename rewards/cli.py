"""``launchday events``: what an operator does with events: dead letters, questions, pictures, progression made anew."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from launchday.settings import ENV_PREFIX, Settings, settings
from rewards.errors import DeadLettersError, RewardsError
from rewards.letters import Letter

# DuckDB, Arrow and Kafka's client are imported when they are needed: they cost a second.

T = TypeVar("T")
ERROR, USAGE = 1, 2

app = typer.Typer(
    name="events", help="Dead letters, and questions about what has happened.", no_args_is_help=True
)
dead_letters_app = typer.Typer(help="Records that were no events: list, show, replay.", no_args_is_help=True)
app.add_typer(dead_letters_app, name="dead-letters")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
FolderOption = Annotated[
    Path | None,
    typer.Option(help="Where the Parquet files are; without it, those of launchday up, or of the last run."),
]
BrokerOption = Annotated[
    str,
    typer.Option(
        "--kafka",
        help="host:port of Kafka; without it, LAUNCHDAY_KAFKA_BOOTSTRAP, or the one that runs here.",
    ),
]


@dead_letters_app.command(name="list")
def list_dead_letters(kafka: BrokerOption = "", as_json: JsonOption = False) -> None:
    """List the dead letters: where each came from, why it is one, and whether it still would be."""
    found = _read(_broker_address(kafka))
    if as_json:
        for letter in found:
            print(json.dumps(_summary(letter)))
        return
    table = Table(
        "origin", "when", "bytes", "reason", "now", title=f"{len(found)} dead letters", title_justify="left"
    )
    for letter in found:
        table.add_row(
            letter.origin,
            _time(letter.timestamp_ms),
            str(len(letter.value)),
            letter.reason,
            "still bad" if letter.still_bad else "good",
        )
    Console().print(table)


@dead_letters_app.command()
def show_dead_letter(
    origin: Annotated[str, typer.Argument(help="topic/partition/offset, as list shows it.")],
    kafka: BrokerOption = "",
) -> None:
    """Show one dead letter as JSON: its record in base64, and what can be read of it."""
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


@dead_letters_app.command()
def resend_dead_letters(
    origins: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset, as list shows it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every letter that is good by now.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Those that are still bad, too.")] = False,
    kafka: BrokerOption = "",
) -> None:
    """Send dead letters to the topic they came from again. An event counts once, however often it is sent."""
    from rewards import letters

    if every == bool(origins):
        _fail("give the origins of letters, or --all", USAGE)
    bootstrap = _broker_address(kafka)
    found = _read(bootstrap)
    chosen = found if every else _select(found, origins or [])
    good = [letter for letter in chosen if force or not letter.still_bad]
    _run(letters.replay(bootstrap, good))
    left = len(chosen) - len(good)
    said = f"; {left} still bad were left (--force sends them)" if left else ""
    print(f"{len(good)} sent again{said}")


@app.command()
def query(
    question: Annotated[str, typer.Argument(help="SQL over the views, or the name of a ready question.")],
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask DuckDB about the events: a view a kind, such as kill, death, match_started, purchase."""
    from rewards.analytics import query as asking
    from rewards.analytics.questions import QUESTIONS

    ready = QUESTIONS.get(question)
    try:
        answer = asking.run(_lake_folder(folder), ready.sql if ready else question)
    except RewardsError as error:
        _fail(str(error))
    if as_json:
        for row in answer.rows:
            print(json.dumps(dict(zip(answer.columns, row, strict=True)), default=_json_value))
        return
    table = Table(*answer.columns, title=ready.title if ready else None, title_justify="left")
    for row in answer.rows:
        table.add_row(*("" if value is None else str(_json_value(value)) for value in row))
    Console().print(table)


@app.command()
def questions() -> None:
    """List the questions that are ready to be asked."""
    from rewards.analytics.questions import QUESTIONS

    for name, question in QUESTIONS.items():
        print(f"{name:<12} {question.title}")


@app.command(name="heat-map")
def heat_map(
    picture: Annotated[Path, typer.Argument(help="The PNG file to write.")] = Path("deaths.png"),
    folder: FolderOption = None,
) -> None:
    """Draw where players died."""
    from rewards.analytics import heat_map as drawing

    try:
        deaths = drawing.draw(_lake_folder(folder), picture)
    except RewardsError as error:
        _fail(str(error))
    print(f"{deaths} deaths are in {picture}")


@app.command()
def rebuild(
    store_url: Annotated[str, typer.Argument(help="postgresql:// address of an empty database.")],
    kafka: BrokerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make progression anew from the whole log, in an empty database, and compare it with the store that runs."""
    from rewards.consumer import rebuild as rebuilding
    from rewards.progression import rules

    config = _settings()
    bootstrap = _broker_address(kafka)
    done = subprocess.run(
        [sys.executable, "-m", "meta_service.store.schema"],
        env={**os.environ, f"{ENV_PREFIX}STORE_URL": store_url},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        _fail(f"the database at {store_url} cannot be used: {last}")
    try:
        found: dict[str, Any] = asdict(
            asyncio.run(rebuilding.rebuild(bootstrap, config.topic_prefix, store_url, rules.load()))
        )
        if live := config.store_url or _local_engines(config).get("store", ""):
            found["live_digest"] = asyncio.run(rebuilding.digest(live))
            found["identical"] = found["live_digest"] == found["digest"]
    except RewardsError as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):<12} {value}")
    if found.get("identical") is False:
        raise typer.Exit(ERROR)


def _read(bootstrap: str) -> list[Letter]:
    from rewards import letters

    return _run(letters.read(bootstrap, _settings().topic_prefix))


def _run(work: Coroutine[Any, Any, T]) -> T:
    async def and_let_go() -> T:
        try:
            return await work
        finally:
            await asyncio.sleep(0)  # connections that were closed are let go by their loop, which ends next

    try:
        return asyncio.run(and_let_go())
    except DeadLettersError as error:
        _fail(str(error))


def _select(letters: list[Letter], origins: list[str]) -> list[Letter]:
    by_origin = {letter.origin: letter for letter in letters}
    if unknown := [origin for origin in origins if origin not in by_origin]:
        _fail(f"no dead letter came from {unknown[0]}: see launchday events dead-letters list")
    return [by_origin[origin] for origin in origins]


def _summary(letter: Letter) -> dict[str, Any]:
    return {
        "origin": letter.origin,
        "time": _time(letter.timestamp_ms),
        "bytes": len(letter.value),
        "reason": letter.reason,
        "still_bad": letter.still_bad,
    }


def _settings() -> Settings:
    return settings()


def _broker_address(given: str) -> str:
    config = _settings()
    found = given or config.kafka_bootstrap or _local_engines(config).get("bus", "")
    if not found:
        _fail(f"no broker runs here: set {ENV_PREFIX}KAFKA_BOOTSTRAP, or give --kafka", USAGE)
    return found


def _local_engines(config: Settings) -> dict[str, str]:
    """Addresses of the engines that a launcher runs in the state folder."""
    for folder in (config.state_dir, config.state_dir / "run"):
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
    state_dir = _settings().state_dir
    up, run = state_dir / "analytics", state_dir / "run" / "analytics"
    return run if run.exists() and not up.exists() else up


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int | float | str | list | dict) else str(value)


def _fail(message: str, code: int = ERROR) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
