"""``launchday schema`` and ``python -m meta_service.store.schema``: see, upgrade and downgrade the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, NoReturn, TypeVar

import asyncpg
import typer
from alembic.script import Script

from launchday.settings import Settings, env_name, settings
from launchday.terminal import Terminal, show_error, table
from meta_service.errors import SchemaError
from meta_service.store import schema
from meta_service.store.downgrade import losses, meaning

ERROR, USAGE = 1, 2
WORKS_WITHOUT = (
    "an older release runs on this schema as it is, so taking back a release needs no downgrade; "
    "a newer one that still runs fails after it: end its services first"
)

T = TypeVar("T")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(name="schema", help="See and change the schema of the global store.", no_args_is_help=True)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show the schema's newest step, the one that this code needs, and what is missing."""
    found = _asked(schema.status)
    if as_json:
        print(
            json.dumps(
                {
                    "revision": found.revision,
                    "head": found.head,
                    "newer": found.is_newer,
                    "missing": [step.revision for step in found.missing],
                }
            )
        )
        return
    console = Terminal()
    console.print(f"the schema is {found.revision or schema.BASE}; this code needs {found.head}")
    if found.is_newer:
        console.print("it is of a newer release: this one runs on it")
    for step in found.missing:
        console.print(f"  missing: {step.revision}: {_title(step)}")


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="A step; without it, the newest.")] = "head",
) -> None:
    """Make the steps that are missing. The services may run meanwhile; killed, it goes on the next time."""
    if revision not in ("head", *(step.revision for step in _asked(schema.status).missing)):
        _fail(f"{revision} is none of the steps that are missing: see launchday schema status", USAGE)
    _asked(lambda store_url: schema.migrate(store_url, revision))


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The step to go back to; base undoes all.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what is lost.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Undo every step after REVISION: says what is dropped, with the rows counted, and does it with --yes."""
    steps = _asked(lambda store_url: schema.steps_after(store_url, revision))
    lost = _asked(lambda store_url: losses(store_url, steps))
    if as_json:
        print(
            json.dumps(
                {
                    "undone": {step.revision: meaning(step) for step in steps},
                    "lost": [one.as_json() for one in lost],
                    "done": yes,
                }
            )
        )
    else:
        console = Terminal()
        if not steps:
            console.print(f"the schema is {revision}: there is nothing to undo")
            return
        for step in steps:
            console.print(f"{step.revision}: {meaning(step)}")
        shown = table("step", "what", "name", "rows", title=f"{len(lost)} losses", right=("rows",))
        for one in lost:
            shown.add_row(one.step, one.what, one.name, "-" if one.rows is None else f"{one.rows:,}")
        console.print(shown)
        console.print(WORKS_WITHOUT)
    if not steps:
        return
    if not yes:
        _fail("nothing was done: give --yes to drop what is listed", USAGE)
    _asked(lambda store_url: schema.downgrade(store_url, revision))


def _asked(work: Callable[[str], T]) -> T:
    store_url = _settings().store_itself
    if not store_url:
        _fail(f"{env_name('store_url')} is empty: give the address of the store", USAGE)
    try:
        return work(store_url)
    except SchemaError as error:
        _fail(str(error))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _fail(f"the store cannot be used: {str(error) or type(error).__name__}")


def _settings() -> Settings:
    return settings()


def _title(step: Script) -> str:
    return (step.doc or "").splitlines()[0]


def _fail(message: str, code: int = ERROR) -> NoReturn:
    show_error(message)
    raise typer.Exit(code)
