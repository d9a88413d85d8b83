"""The drawing of the error tree is the tree: every class of the package stands in it, where it belongs."""

from __future__ import annotations

import importlib
import pkgutil
import re

import dedicated_server
from dedicated_server import errors
from dedicated_server.errors import DedicatedServerError

LINE = re.compile(r"^    (?P<indent>[│ ]*)(?:[├└]── )?(?P<name>\w+Error)\s*(?P<text>.*)$")
PROCESSES = "dedicated_server.fleet.console"  # its page starts when it is imported


def drawn() -> dict[str, tuple[str, str]]:
    """By class: its parent, and the module where it says one."""
    found: dict[str, tuple[str, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            depth = 0 if not path else 1 + len(match["indent"]) // 4
            module = re.search(r"\(([\w.]+)\)$", match["text"])
            found[match["name"]] = (path[depth - 1] if depth else "", module[1] if module else "")
            path[depth:] = [match["name"]]
    return found


def defined() -> dict[str, type[DedicatedServerError]]:
    for module in pkgutil.walk_packages(dedicated_server.__path__, "dedicated_server."):
        if not module.name.startswith(PROCESSES) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting, found = [DedicatedServerError], {}
    while waiting:
        error = waiting.pop()
        if error.__module__.startswith("dedicated_server"):
            found[error.__name__] = error
        waiting += error.__subclasses__()
    return found


def test_every_error_is_drawn_below_its_base_with_its_module() -> None:
    classes, tree = defined(), drawn()
    assert set(tree) == set(classes)
    for name, (parent, module) in tree.items():
        if parent:
            assert classes[name].__bases__[0].__name__ == parent
        if module:
            assert classes[name].__module__ == f"dedicated_server.{module}"


def test_every_error_says_when_it_is_raised_and_ends_in_error() -> None:
    for name, error in defined().items():
        assert name.endswith("Error")
        assert error.__doc__, name
