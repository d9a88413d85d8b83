"""Files that a scenario names: found beside it, or among those that are shipped."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "folder"  # key of the validation context: the folder of the scenario's file


def beside(name: str, context: Any) -> Path:
    """The path of a file that a scenario names, from the scenario's own folder. Raises ValueError where there is none."""
    folder = context.get(FOLDER) if isinstance(context, Mapping) else None
    path = Path(folder or ".", name)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path


def rule_set_file(name: str, context: Any) -> Path:
    """The file of a rule set that is given by a shipped name or a path. Raises ValueError where there is none."""
    shipped = _shipped_rule_sets()
    if name in shipped:
        return shipped[name]
    try:
        return beside(name, context)
    except ValueError as error:
        raise ValueError(f"{error}, and no rule set of that name is shipped: {', '.join(shipped)}") from error


def _shipped_rule_sets() -> dict[str, Path]:
    spec = importlib.util.find_spec("matchmaker")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0], "flexmatch", "rule_sets")
    return {path.stem: path for path in sorted(folder.glob("*.json"))}
