"""Reading a scenario file: YAML in, a checked Scenario out, or every mistake with its line and path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from loadtest.errors import Mistake, ScenarioError
from loadtest.scenario import Scenario

SHIPPED = Path(__file__).parent / "scenarios"
MAX_BYTES = 1_000_000  # a scenario is a page of text; this only keeps a wrong file from being read whole


def load(path: Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError with everything that is wrong in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(
            str(path), [Mistake(1, "", f"cannot be read: {error.strerror or error}")]
        ) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(str(path), [Mistake(1, "", f"longer than {MAX_BYTES:,} bytes: not a scenario")])
    return parse(data, str(path))


def parse(text: str | bytes, source: str) -> Scenario:
    """Check a scenario given as text; ``source`` names it in errors."""
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ScenarioError(
                source, [Mistake(1, "", "a scenario is a mapping: name, players, arrivals, match …")]
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
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        mistakes += [_mistake(root, item) for item in error.errors(include_url=False)]
    if mistakes:
        raise ScenarioError(source, sorted(mistakes, key=lambda mistake: mistake.line))
    return scenario


def _mistake(root: yaml.Node, item: Any) -> Mistake:
    """One of pydantic's errors, in our words, at the line of the deepest node on its path."""
    path = [part for part in item["loc"] if part != "[key]"]
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            message = f"is not a key here; {_keys_at(path[:-1])}"
        case _ if isinstance(item["input"], str | int | float | bool):
            message = f"{message[:1].lower()}{message[1:]}"
            if repr(item["input"]) not in message:
                message += f" (it is {item['input']!r})"
    return Mistake(_line(root, path), ".".join(str(part) for part in path), message)


def _keys_at(path: Sequence[Any]) -> str:
    model: Any = Scenario
    for part in path:
        model = model.model_fields[part].annotation
    return f"known are {', '.join(model.model_fields)}"


def _line(root: yaml.Node, path: Sequence[Any]) -> int:
    """1-based line of the key or item that ``path`` leads to, or of the deepest one that exists on the way."""
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
        if id(node) in seen_nodes:  # an alias; it may even lead back to its own anchor
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
