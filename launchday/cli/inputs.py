"""Reads and checks what the user gives a command: settings and scenarios.

What is wrong is one line and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from launchday.errors import LaunchdayError
from launchday.outputs import OutputError
from launchday.settings import Settings, SettingsError, settings

if TYPE_CHECKING:
    from dedicated_server.cards import ModeCard
    from loadtest.scenario.model import Scenario

# The load test is imported inside the functions: it costs half a second.

USAGE_ERROR = 2


class CommandError(LaunchdayError):
    """Raised to end a command with a line for the user and an exit code.

    Attributes:
        exit_code: of the process.
        lines: one, or one for each mistake in a file.
    """

    def __init__(self, message: str, exit_code: int = 1, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.lines = tuple(lines) or (message,)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn what cannot be read or written into a CommandError with exit code 2: the user mends it."""
    from loadtest.errors import LoadTestError, ScenarioError

    try:
        yield
    except ScenarioError as error:
        raise CommandError(str(error), USAGE_ERROR, error.lines) from error
    except (LoadTestError, OutputError) as error:
        raise CommandError(str(error), USAGE_ERROR) from error


def read_settings() -> Settings:
    """Read the settings of the environment. Raises CommandError, which names each wrong variable."""
    try:
        return settings()
    except SettingsError as error:
        raise CommandError(str(error), USAGE_ERROR) from error


def read_modes(config: Settings) -> Mapping[str, ModeCard]:
    """The cards of the modes that the settings have. Raises CommandError with every mistake in their folders,
    and in the rule sets that the settings name.
    """
    from dedicated_server.cards import CardError, cards_in_force
    from dedicated_server.match.mode_events import check_events
    from matchmaker.errors import RuleSetsError
    from matchmaker.rules.modes import load_modes

    try:
        cards = cards_in_force(config.modes)
        check_events(cards.values())
        load_modes(config)
    except (CardError, RuleSetsError) as error:
        raise CommandError(str(error), USAGE_ERROR, str(error).splitlines()) from error
    return cards


def scenario_path(name: str) -> Path:
    """Return the file of a scenario: a path, or the name of a shipped one. The file need not exist."""
    from loadtest.scenario import reader

    return reader.scenario_path(name)


def read_scenario(name: str, cards: Mapping[str, ModeCard] | None = None) -> Scenario:
    """Read the scenario of a file, or a shipped one of that name. Raises CommandError.

    ``cards``: of the modes that there are, where it is played on our own backend.
    """
    from loadtest.scenario import reader

    path = scenario_path(name)
    if not path.exists():
        names = ", ".join(reader.shipped_names())
        raise CommandError(f"no scenario {name}: give a file, or one of those shipped: {names}", USAGE_ERROR)
    with usage_errors():
        return reader.load_scenario(path, cards)
