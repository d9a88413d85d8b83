"""Where things stand in a scenario file: the line of a path, and keys that are given twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from loadtest.errors import Mistake
from loadtest.scenario.arrivals import BY_LOCATION, CURVES, ONE_CURVE
from loadtest.scenario.faults import FAULTS
from loadtest.scenario.sections import BY_REGION, NUMBER

KEY = "[key]"  # with which pydantic ends the place of a key that is wrong itself


def path_of(item: Any) -> list[Any]:
    """The path in the file of one of pydantic's errors: without names of forms and variants, and with the key
    that distinguishes them.
    """
    path = [part for part in item["loc"] if part != KEY]
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


def dotted(path: Sequence[Any]) -> str:
    """A path as mistakes show it."""
    return ".".join(str(part) for part in path)


def line_of(root: yaml.Node, path: Sequence[Any]) -> int:
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


def repeated_keys(root: yaml.Node) -> list[Mistake]:
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
