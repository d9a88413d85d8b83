"""What other packages may import of this one is written down, so that nobody changes it without noticing.

`public_surface.txt` has a line a name. After a deliberate change write it anew::

    python -m tests.dedicated_server.test_public_surface
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SURFACE = Path(__file__).parent / "public_surface.txt"
# The published contract: the wire for players and issuers of tokens, the modes' cards, the fleet's client.
MODULES = (
    "dedicated_server.cards.card",
    "dedicated_server.cards.kinds",
    "dedicated_server.cards.mistakes",
    "dedicated_server.cards.reading",
    "dedicated_server.cards.registry",
    "dedicated_server.errors",
    "dedicated_server.fleet.client",
    "dedicated_server.protocol.bits",
    "dedicated_server.protocol.client_kinds",
    "dedicated_server.protocol.client.clock",
    "dedicated_server.protocol.client.interpolation",
    "dedicated_server.protocol.client.knowledge",
    "dedicated_server.protocol.client.prediction",
    "dedicated_server.protocol.client.receive",
    "dedicated_server.protocol.client.sessions",
    "dedicated_server.protocol.client.state",
    "dedicated_server.protocol.client.transmit",
    "dedicated_server.protocol.client.view",
    "dedicated_server.protocol.connect_token",
    "dedicated_server.protocol.datagrams",
    "dedicated_server.protocol.fields",
    "dedicated_server.protocol.inputs",
    "dedicated_server.protocol.movement",
    "dedicated_server.protocol.reasons",
    "dedicated_server.protocol.reliable_kinds",
)


def public_names(module: str) -> Iterator[str]:
    """The names without underscore that a module defines itself, and those of its classes' members."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    for node in tree.body:
        for name in _defined(node):
            yield f"{module}.{name}"
            if isinstance(node, ast.ClassDef):
                yield from (f"{module}.{name}.{member}" for each in node.body for member in _defined(each))


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
    else:
        names = []
    return [name for name in names if not name.startswith("_")]


def surface() -> str:
    """All public names of `MODULES`, a line each, sorted."""
    return "".join(f"{name}\n" for module in MODULES for name in sorted(set(public_names(module))))


def test_the_public_surface_is_the_one_that_is_written_down() -> None:
    assert surface() == SURFACE.read_text(), "write it anew if that is meant: see this test's docstring"


if __name__ == "__main__":
    SURFACE.write_text(surface())
