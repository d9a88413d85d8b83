"""Reads scenario files: YAML in, a checked Scenario out, or every mistake with its line and path."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import ValidationError

from loadtest.errors import Mistake, ScenarioError
from loadtest.scenario.arrivals import BY_LOCATION, CURVES, ONE_CURVE, Curve
from loadtest.scenario.faults import FAULTS
from loadtest.scenario.model import Scenario
from loadtest.scenario.sections import BY_REGION, FOLDER, NUMBER, Region

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


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError with every mistake in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(
            str(path), [Mistake(1, "", f"cannot be read: {error.strerror or error}")]
        ) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(str(path), [Mistake(1, "", f"longer than {MAX_BYTES:,} bytes: not a scenario")])
    return parse_scenario(data, str(path))


def parse_scenario(text: str | bytes, source: str) -> Scenario:
    """Check a scenario given as text; ``source`` names it in errors."""
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ScenarioError(
                source, [Mistake(1, "", "a scenario is a mapping: name, players, arrivals, modes …")]
            )
        mistakes = _repeated_keys(root)
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
    mistakes += [_mistake(root, item) for item in found]
    reported = {mistake.path for mistake in mistakes}
    scenario = scenario or _validate_with_placeholders(content, found, source)
    if scenario is not None:
        mistakes += [
            Mistake(_line(root, path), _dotted(path), message)
            for path, message in scenario.contradictions()
            if _dotted(path) not in reported
        ]
    if mistakes or scenario is None:
        raise ScenarioError(source, sorted(mistakes, key=lambda mistake: mistake.line))
    return scenario


def _validate(content: Any, source: str) -> tuple[Scenario | None, list[Any]]:
    """The scenario, or what pydantic finds wrong."""
    try:
        return Scenario.model_validate(content, context={FOLDER: Path(source).parent}), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False))


# Values for those that are missing or wrong, so that contradictions between sections are found all the same.
PLACEHOLDERS: dict[str, Any] = {
    "name": "scenario",
    "count": 1,
    "locations": {"west-europe": 1.0},
    "over_s": 1.0,
    "peak_s": 1.0,
    "players": 2,
    "duration_s": 10.0,
    "at_s": 0.0,
    "for_s": 1.0,
    "by_ms": 1.0,
    "processes": 1,
    "part": "cache",
    "region": "west-europe",
}
REPAIRS = 3  # what is wrong may hide behind what was wrong: the sum of shares behind a share


def _validate_with_placeholders(content: Any, found: list[Any], source: str) -> Scenario | None:
    """The scenario with stand-ins for what is wrong in it; None where it cannot be had even so."""
    content = copy.deepcopy(content)
    for _ in range(REPAIRS):
        for item in found:
            path = _path(item)
            if not path:  # such as a key that is no text: nothing stands in for that
                return None
            with contextlib.suppress(KeyError, IndexError, TypeError):
                _put_placeholder(content, path)
        scenario, found = _validate(content, source)
        if scenario is not None:
            return scenario
    return None


def _put_placeholder(content: Any, path: list[Any]) -> None:
    *way, last = path
    section: Any = content
    for part in way:
        section = section[part]
    if last == "curve":
        _put(content, way, {"over_s": 1.0})
    elif last == "do":
        content["faults"][way[-1]] = {"at_s": 0.0, "do": "stop_cache", "for_s": 1.0}
    elif last in PLACEHOLDERS and (way or last == "name"):
        section[last] = PLACEHOLDERS[last]
    else:
        del section[last]


def _put(content: Any, path: list[Any], value: Any) -> None:
    *way, last = path
    for part in way:
        content = content[part]
    content[last] = value


def _path(item: Any) -> list[Any]:
    """The path in the file of one of pydantic's errors: without names of variants, with the key that
    distinguishes them.
    """
    path = [part for part in item["loc"] if part != "[key]"]
    if path[:1] == ["arrivals"]:
        path = _without_forms(path)
    if path[:1] == ["fleet"]:
        path = path[:2] + [part for part in path[2:3] if part not in (NUMBER, BY_REGION)] + path[3:]
    if path[:1] == ["faults"]:
        path = path[:2] + [part for part in path[2:3] if part not in FAULTS] + path[3:]
    if item["type"] == "union_tag_invalid":
        path.append("curve" if path[0] == "arrivals" else "do")
    return path


def _without_forms(path: list[Any]) -> list[Any]:
    """A path below ``arrivals`` without the names of the form and of the kind of curve."""
    section, form, *below = path if len(path) > 1 else [*path, ONE_CURVE]
    place, below = (below[:1], below[1:]) if form == BY_LOCATION else ([], below)
    return [section, *place, *(below[1:] if below[:1] and below[0] in CURVES else below)]


def _dotted(path: Sequence[Any]) -> str:
    return ".".join(str(part) for part in path)


def _mistake(root: yaml.Node, item: Any) -> Mistake:
    """One of pydantic's errors in plain words, at the line of the deepest node on its path."""
    path = _path(item)
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            message = f"is not a key here; {_keys_at([part for part in item['loc'][:-1] if part != '[key]'])}"
        case "union_tag_invalid":
            kinds = ", ".join(CURVES if path[0] == "arrivals" else FAULTS)
            tag = item["ctx"]["tag"]
            message = f"{tag} is none of {kinds}" if tag else f"is required: one of {kinds}"
        case "union_tag_not_found" | "model_type" | "model_attributes_type" | "dict_type":
            message = "is a mapping of keys to values"
        case _ if isinstance(item["input"], str | int | float | bool):
            message = f"{message[:1].lower()}{message[1:]}"
            if repr(item["input"]) not in message:
                message += f" (it is {item['input']!r})"
    return Mistake(_line(root, path), _dotted(path), " ".join(message.split()))


def _keys_at(path: Sequence[Any]) -> str:
    model: Any = Scenario
    for part in path:
        model = _inside(model, part)
    return f"known are {', '.join(model.model_fields)}"


def _inside(kind: Any, part: Any) -> Any:
    """The type of what lies at ``part`` of a value of the type ``kind``."""
    if hasattr(kind, "model_fields"):
        return kind.model_fields[part].annotation
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(arguments[0], part)
    if origin in (dict, list):
        return arguments[-1]
    if part in (ONE_CURVE, BY_LOCATION):
        return Curve if part == ONE_CURVE else dict[Region, Curve]
    return {**CURVES, **FAULTS}[part]


def _line(root: yaml.Node, path: Sequence[Any]) -> int:
    """1-based line of the key or item at ``path``, or of the deepest one that exists on the way."""
    node, line = root, root.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def _repeated_keys(root: yaml.Node) -> list[Mistake]:
    """Keys given twice in one mapping: YAML forbids them, PyYAML silently keeps the last."""
    mistakes: list[Mistake] = []
    seen_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, str]] = [(root, "")]
    while stack:
        node, path = stack.pop()
        if id(node) in seen_nodes:  # an alias, which may lead back to its own anchor
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                here = f"{path}.{key.value}" if path else key.value
                if key.value in lines:
                    mistakes.append(
                        Mistake(
                            key.start_mark.line + 1, here, f"is given twice, first on line {lines[key.value]}"
                        )
                    )
                lines.setdefault(key.value, key.start_mark.line + 1)
                stack.append((value, here))
        elif isinstance(node, yaml.SequenceNode):
            stack.extend((value, f"{path}.{index}") for index, value in enumerate(node.value))
    return mistakes
