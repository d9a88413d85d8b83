"""What the user of a command gives it, read and checked: settings, scenarios. What is wrong is one line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from launchday.engines import stack
from launchday.settings import Settings, settings

if TYPE_CHECKING:
    from loadtest.scenario.model import Scenario

# The load test is imported inside the functions: it costs a second.

USAGE_ERROR = 2


class CommandError(Exception):
    """Raised to end a command with one line for the user and an exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def usage_errors() -> Iterator[None]:
    """What the load test refuses to read is the user's to mend: one line, and exit code 2."""
    from loadtest.errors import LoadTestError

    try:
        yield
    except LoadTestError as error:
        raise CommandError(str(error), USAGE_ERROR) from error


def read_settings() -> Settings:
    """The settings of the environment. Raises CommandError, which names every one that is wrong by its variable."""
    try:
        return settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{stack.env_name(str(item['loc'][0])) if item['loc'] else 'settings'}: {item['msg']}"
            for item in error.errors()
        )
        raise CommandError(problems, USAGE_ERROR) from error


def scenario_path(name: str) -> Path:
    """The file of a scenario: a path, or the name of one that is shipped; it need not exist."""
    from loadtest.scenario import reader

    shipped = reader.SHIPPED / f"{name}.yaml"
    return shipped if shipped.exists() and not Path(name).exists() else Path(name)


def read_scenario(name: str) -> Scenario:
    """The scenario of a file, or a shipped one of that name. Raises CommandError."""
    from loadtest.scenario import reader

    path = scenario_path(name)
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in reader.SHIPPED.glob("*.yaml")))
        raise CommandError(f"no scenario {name}: give a file, or one of those shipped: {names}", USAGE_ERROR)
    with usage_errors():
        return reader.load_scenario(path)
