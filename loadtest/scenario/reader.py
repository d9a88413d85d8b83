"""Reads scenario files: YAML in, a checked Scenario out, or every mistake with its line and path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dedicated_server.cards import ModeCard
from loadtest.errors import Mistake, ScenarioError
from loadtest.scenario.model import Scenario
from loadtest.scenario.reading.places import dotted, line_of, repeated_keys
from loadtest.scenario.reading.repairs import Repaired, repair
from loadtest.scenario.reading.shares import sum_mistakes
from loadtest.scenario.reading.words import mistake_of
from loadtest.scenario.sections import FOLDER

SHIPPED = Path(__file__).parent / "scenarios"
MAX_BYTES = 1_000_000  # a scenario is a page of text; this only keeps a wrong file from being read whole


def scenario_path(name: str) -> Path:
    """The file of a scenario: of the shipped one of that name, unless a file of that name exists.

    It need not exist.
    """
    shipped = SHIPPED / f"{name}.yaml"
    return shipped if shipped.exists() and not Path(name).exists() else Path(name)


def shipped_names() -> list[str]:
    """The names of the shipped scenarios, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_scenario(path: Path, cards: Mapping[str, ModeCard] | None = None) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError with every mistake in it.

    ``cards``: of the modes that our own backend has, where the scenario is for it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(
            str(path), [Mistake(1, "", f"cannot be read: {error.strerror or error}")]
        ) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(str(path), [Mistake(1, "", f"longer than {MAX_BYTES:,} bytes: not a scenario")])
    return parse_scenario(data, str(path), cards)


def parse_scenario(text: str | bytes, source: str, cards: Mapping[str, ModeCard] | None = None) -> Scenario:
    """Check a scenario given as text; ``source`` names it in errors, ``cards`` as of `load_scenario`."""
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ScenarioError(
                source, [Mistake(1, "", "a scenario is a mapping: name, players, arrivals, modes …")]
            )
        mistakes = repeated_keys(root)
        content = loader.construct_document(root)
    except UnicodeDecodeError as error:
        raise ScenarioError(source, [Mistake(1, "", "is not UTF-8 text")]) from error
    except RecursionError as error:
        raise ScenarioError(source, [Mistake(1, "", "is nested too deeply")]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ScenarioError(source, [Mistake(line, "", f"not YAML: {error.problem or error}")]) from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise ScenarioError(source, [Mistake(1, "", f"not YAML: {reason}")]) from error
    except ValueError as error:  # a scalar that looks like a date or a number, and is none (2026-99-99)
        raise ScenarioError(source, [Mistake(1, "", f"not YAML: {error}")]) from error
    finally:
        if loader is not None:
            loader.dispose()
    scenario, found = _validate(content, source)
    mistakes += [mistake_of(root, item) for item in found]
    mistakes += [Mistake(line_of(root, path), dotted(path), text) for path, text in sum_mistakes(content)]
    repaired = Repaired(scenario)
    if scenario is None:
        repaired = repair(content, found, lambda mended: _validate(mended, source))
        mistakes += [mistake_of(root, item) for item in repaired.hidden]
    reported = {mistake.path for mistake in mistakes}
    mistakes += [
        Mistake(line_of(root, path), dotted(path), text)
        for path, text in repaired.contradictions(content, cards)
        if dotted(path) not in reported and path != ("modes",)
    ]
    if mistakes or scenario is None:
        told = dict.fromkeys(sorted(mistakes, key=lambda mistake: mistake.line))
        raise ScenarioError(source, list(told))
    return scenario


def _validate(content: Any, source: str) -> tuple[Scenario | None, list[Any]]:
    """The scenario, or what pydantic finds wrong."""
    try:
        return Scenario.model_validate(content, context={FOLDER: Path(source).parent}), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False))
