"""The commands ``launchday backup`` and ``launchday restore``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from launchday.cli.inputs import USAGE_ERROR, CommandError, read_settings
from launchday.cli.options import AsOneJson
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, data

if TYPE_CHECKING:
    from launchday.cli.backups.saving import Progress

# The clients of the engines are imported when a command needs them: together they cost a second.

Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]
OtherCaches = Annotated[
    list[str] | None,
    typer.Option("--cache", help="Address of the cache of another region that shares the store, repeatable."),
]


def backup(
    folder: Folder,
    caches: OtherCaches = None,
    wait_s: Annotated[
        float,
        typer.Option(
            min=0,
            max=3600,
            help="Seconds to wait at most until rewards and analytics have read what the bus has.",
        ),
    ] = 30.0,
    as_json: AsOneJson = False,
) -> None:
    """Save store, waiting changes and analytics of a backend that runs into a new folder."""
    from launchday.cli.backups.saving import Source, save
    from launchday.clock import SystemClock

    config = _with_running(_by_the_server(read_settings()))
    source = Source(config, (config.cache_url, *(caches or ())), wait_s)
    saved = asyncio.run(save(source, folder, SystemClock(), _printer(as_json)))
    if as_json:
        print(json.dumps({"backup": str(folder), **{key: saved[key] for key in saved if key != "files"}}))
        return
    size = sum(row["bytes"] for row in saved["files"])
    console = Terminal()
    console.print(
        data(f"{folder} has a backup of {saved['ended']}: {len(saved['files']):,} files, {size:,} bytes")
    )
    for line in _about_the_bus(saved["bus"]):
        console.print(line)
    if saved["not_saved"]["secrets"]:
        console.print(
            f"not in it: {', '.join(saved['not_saved']['secrets'])}; without them every token is void, and "
            "players log in again"
        )


def restore(
    folder: Folder,
    caches: OtherCaches = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also into engines that have something; it goes. Asks first.")
    ] = False,
    keep_waiting: Annotated[
        bool,
        typer.Option(
            "--keep-waiting",
            help="With --replace: store the changes that wait in the caches, too, before they are emptied.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsOneJson = False,
) -> None:
    """Bring a backup back, whole or not at all, while the services are stopped."""
    from launchday.cli.backups.manifest import read
    from launchday.cli.backups.restoring import Target
    from launchday.cli.backups.restoring import restore as bring_back
    from launchday.clock import SystemClock

    read(folder)  # a damaged backup is refused before anything is started
    if keep_waiting and not replace:
        raise CommandError("--keep-waiting is for --replace: give both, or none", USAGE_ERROR)
    progress = _printer(as_json)
    with _engines(_by_the_server(read_settings()), progress) as config:
        target = Target(config, (config.cache_url, *(caches or ())), replace, keep_waiting)
        done = asyncio.run(bring_back(folder, target, SystemClock(), progress, _question(yes)))
    if as_json:
        print(json.dumps(done))
        return
    console = Terminal()
    console.print(data(f"restored: the backend of {done['of']}; start the services"))
    for line in _about_the_bus(done["bus"]):
        console.print(line)


def _by_the_server(config: Settings) -> Settings:
    """The settings with the store's address that leads to the server itself."""
    return config.model_copy(update={"store_url": config.store_itself})


def _with_running(config: Settings) -> Settings:
    """The settings with the addresses of the embedded engines that run in the state folder."""
    from launchday.engines.stack import EMBEDDED_ROLES, running_engines

    here = running_engines(config.state_dir)
    found = {
        part.setting: getattr(config, part.setting) or here.get(part.role, "") for part in EMBEDDED_ROLES
    }
    for part in EMBEDDED_ROLES:
        if part.role != "bus" and not found[part.setting]:
            raise CommandError(
                f"no {part.role} runs here: launchday up, or set {env_name(part.setting)}", USAGE_ERROR
            )
    return config.model_copy(update=found)


@contextmanager
def _engines(config: Settings, progress: Progress) -> Iterator[Settings]:
    """Start the embedded store and cache of the state folder, which no backend may have, while the block
    lasts.

    Engines that the settings name are used as they are.
    """
    from launchday.engines.stack import EMBEDDED_ROLES
    from launchday.launcher.backend import single_instance

    with ExitStack() as held:
        held.enter_context(single_instance(config.state_dir))
        for part in EMBEDDED_ROLES:
            if part.role == "bus" or getattr(config, part.setting):
                continue
            server = part.embedded(
                config.state_dir / part.folder, config.state_dir / "logs" / f"{part.folder}.log"
            )
            held.callback(server.stop)
            server.start()
            progress(f"{part.role}: {server.name} in {config.state_dir / part.folder}")
            config = config.model_copy(update={part.setting: server.address})
        yield config


def _printer(as_json: bool) -> Progress:
    console = Terminal(stderr=as_json)
    return lambda line: console.print(data(line))


def _question(yes: bool) -> Callable[[str], bool]:
    def ask(what: str) -> bool:
        if yes:
            return True
        try:
            return typer.confirm(f"Replace for good: {what}?", err=True)
        except typer.Abort:
            Terminal(stderr=True).print()  # behind the question
            raise CommandError(
                "nothing was restored: nobody answered; --yes asks nobody", USAGE_ERROR
            ) from None

    return ask


def _about_the_bus(bus: dict[str, Any]) -> Sequence[str]:
    """What will be read again, and what is lost where the bus is."""
    if "not_asked" in bus:
        return (f"the bus was not asked ({bus['not_asked']}): events that nobody had read are in it alone",)
    if not bus["unread"]:
        return ("rewards had applied all that the bus had",)
    older = bus["older_than_backup_unread"]
    return (
        f"rewards had not applied {bus['unread']:,} records of the bus, {older:,} of them older than the "
        "backup: it reads them after a restore; they are lost where the bus is lost, too",
    )
