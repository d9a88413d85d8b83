"""``launchday mode``: begin a mode of one's own, test it without a network, play it a hundred times."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from launchday.cli.inputs import USAGE_ERROR, CommandError, read_modes, read_settings
from launchday.cli.options import AsOneJson, compile_parts
from launchday.outputs import OutputError
from launchday.terminal import Terminal, table

if TYPE_CHECKING:
    from dedicated_server.cards import ModeCard

# Cards, hooks and kernels are imported when a command needs them: numba costs half a second.

DIFFERENT = 1
FILES = ("card.yaml", "hooks.py", "rule_set.json", "README.md")
NAME_IN_FILES = "NAME"

app = typer.Typer(name="mode", help="Write and test modes of play of your own.", no_args_is_help=True)
ModeFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a mode.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the match and its bots.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the mode: small letters, digits and _.")],
    into: Annotated[
        Path, typer.Option("--in", metavar="FOLDER", help="Where the mode's folder is made.")
    ] = Path(),
) -> None:
    """Write the folder of a small mode that works, to be changed into another."""
    from dedicated_server.cards.card import MAX_NAME

    if not _is_name(name) or len(name) > MAX_NAME:
        reason = f"small letters, digits and _, beginning with a letter, at most {MAX_NAME}"
        raise CommandError(f"{name!r} is no name of a mode: take {reason}", USAGE_ERROR)
    if name in _shipped():
        raise CommandError(f"{name} is a mode that ships: give yours another name", USAGE_ERROR)
    folder = into / name
    if os.path.lexists(folder):
        raise CommandError(f"{folder} is there already: give another name, or --in FOLDER", USAGE_ERROR)
    if into.exists() and not into.is_dir():
        raise CommandError(f"{into} is no folder", USAGE_ERROR)
    try:
        folder.mkdir(parents=True)
        for file in FILES:
            text = (resources.files("launchday.cli.new_mode") / file).read_text(encoding="utf-8")
            (folder / file).write_text(text.replace(NAME_IN_FILES, name), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error
    Terminal().print(f"{folder} is a mode that works; launchday mode test {folder} plays a match of it")


@app.command(name="test")
def try_out(folder: ModeFolder, seed: Seed = 1, as_json: AsOneJson = False) -> None:
    """Check a mode and play a match of 60 s of its smallest size: as plain Python, then compiled.

    Says what the match came to and whether both ways agree, or the mistake with its file and line.
    """
    from loadtest.headless.trial import try_mode

    card = _read(folder)
    console = Terminal()
    compile_parts({"dedicated_server", "loadtest"})
    if not as_json:
        console.print(
            f"{card.name}: the card is right; {card.players_min} players for 60 s, in plain Python …"
        )
    trial = try_mode(card, seed, on_plain=(lambda result: None) if as_json else _show_result)
    if as_json:
        found = {
            "mode": card.name,
            "plain": trial.plain,
            "compiled": trial.compiled,
            "identical": trial.identical,
            "difference": None if trial.difference is None else vars(trial.difference),
        }
        print(json.dumps(found))
    elif trial.difference is not None:
        console.print(f"compiled, the match is another: {trial.difference}")
    elif trial.identical:
        console.print(f"compiled, the match is the same to the last bit ({trial.compiled['hash'][:16]})")
    else:
        console.print("compiled, the match has the same events, and states within 0.0001")
    raise typer.Exit(0 if trial.difference is None else DIFFERENT)


@app.command()
def play(
    mode: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A mode in force, or its folder.")],
    matches: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
    seed: Seed = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1_024, help="Processes to use; by default one a core.")
    ] = None,
    as_json: AsOneJson = False,
) -> None:
    """Play full matches of bots without a network, and print who wins and what is scored."""
    from dedicated_server.modes.loading import load_goals, load_mode
    from loadtest.headless.series import play_series

    card = _named(mode)
    compile_parts({"dedicated_server", "loadtest"})
    load_mode(card)
    load_goals(card)
    console = Terminal(stderr=True)
    with console.status(f"0 of {matches:,} matches") as status:
        found = play_series(
            card,
            matches,
            seed,
            jobs or os.cpu_count() or 1,
            lambda done: status.update(f"{done:,} of {matches:,} matches"),
        )
    if as_json:
        print(json.dumps(found))
    else:
        _show_series(found)


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name == name.lower() and name[0].isalpha()


def _shipped() -> set[str]:
    from dedicated_server.cards import shipped_cards

    return set(shipped_cards())


def _read(folder: Path) -> ModeCard:
    """The card of a folder. Raises CommandError with a line for each mistake, of its rule set too."""
    from dedicated_server.cards import CardError, read_card
    from dedicated_server.modes.loading import SHIPPED

    try:
        card = read_card(folder)
    except CardError as error:
        raise CommandError(str(error), USAGE_ERROR, str(error).splitlines()) from error
    if card.folder.parent == SHIPPED:
        return card
    return read_modes(read_settings().model_copy(update={"modes": str(card.folder)}))[card.name]


def _named(mode: str) -> ModeCard:
    """The card of a mode in force, or of a folder."""
    from dedicated_server.cards import unknown_mode

    if os.sep in mode or Path(mode).is_dir():
        return _read(Path(mode))
    cards = read_modes(read_settings())
    if mode not in cards:
        raise CommandError(f"{mode} {unknown_mode(mode, cards)}; or name a folder", USAGE_ERROR)
    return cards[mode]


def _show_result(result: dict[str, Any]) -> None:
    console = Terminal()
    lines = [
        ("hooks", ", ".join(result["hooks"]) or "none: all of it is what a mode does by default"),
        ("lasted", f"{result['seconds']:.1f} s"),
        *((f"score: {field}", _by_team(points)) for field, points in result["score"].items()),
        ("placements", _by_team(result["placements"])),
        ("events", ", ".join(f"{count} {kind}" for kind, count in result["events"].items())),
    ]
    for name, value in lines:
        console.print(f"  {name:<18} {value}")


def _by_team(values: list[Any]) -> str:
    return ", ".join(f"team {team}: {value}" for team, value in enumerate(values))


def _show_series(found: dict[str, Any]) -> None:
    console = Terminal()
    console.print(
        f"{found['mode']}: {found['matches']:,} matches of {found['players']} players, "
        f"{found['mean_s']:.0f} s each on average, {found['draws']:,} without a winner"
    )
    if found["wins"]:
        fields = list(found["score"])
        shown = table("team", "wins", "share", *fields, right=("wins", "share", *fields))
        for team, won in enumerate(found["wins"]):
            points = [f"{found['score'][field][team]:,}" for field in fields]
            shown.add_row(str(team), f"{won:,}", f"{found['win_share'][team]:.0%}", *points)
        console.print(shown)
    console.print("events: " + ", ".join(f"{count:,} {kind}" for kind, count in found["events"].items()))
