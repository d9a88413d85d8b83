"""Check that what a command prints goes through `launchday.terminal`; ``make check`` runs it.

A console with markup on takes a clan tag for a style. So nobody else makes a console, reads markup or echoes;
``print`` is left for JSON and for text of our own without a value in it. Where a value is put into markup or
into a line, `Terminal` shows it whole.

``python -m tests.terminal_rules`` shows the breaches.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.seam_rules import ROOT, _full_name, _imports

PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest")
ALLOWED = {
    "launchday/terminal.py": "it is the console",
    "launchday/tables.py": "it is the tables of the console",
    "launchday/startup.py": "it prints before there is a console, and escapes by itself",
    "loadtest/bench/environments/spaces.py": "a child that becomes another program prints the system's word",
    "loadtest/locust/locustfile.py": "Locust prints its own tables beside it",
}
CONSOLE = "take launchday.terminal.Terminal"
FORBIDDEN = {
    "rich.console.Console": CONSOLE,
    "rich.get_console": CONSOLE,
    "rich.print": CONSOLE,
    "rich.print_json": CONSOLE,
    "rich.inspect": CONSOLE,
    "rich.markup.escape": "a str is shown as it is",
    "rich.markup.render": "give styles as arguments",
    "rich.text.Text.from_markup": "give styles as arguments",
    "rich.panel.Panel": "its title is markup",
    "rich.prompt.Prompt": "its text is markup",
    "rich.table.Table": "take launchday.terminal.table, which cuts no cell",
    "typer.echo": CONSOLE,
    "typer.secho": CONSOLE,
    "typer.style": CONSOLE,
}
UNMARKED = {"rich.progress.TextColumn", "rich.spinner.Spinner"}  # with markup=False, or without a value


def main() -> int:
    """Print every breach, one a line; return 1 where there is one."""
    found = scan(ROOT)
    for breach in found:
        print(breach)
    print(f"terminal rules: {len(found)} breaches")
    return int(bool(found))


def scan(root: Path) -> list[str]:
    """Find all breaches below ``root``: ``path:line: what: what to do``, in order of paths."""
    return [
        f"{path.relative_to(root).as_posix()}:{line}: {what}"
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        if path.relative_to(root).as_posix() not in ALLOWED
        for line, what in breaches(path.read_text(encoding="utf-8"))
    ]


def breaches(source: str) -> Iterator[tuple[int, str]]:
    """The breaches of one module: its line, and what is wrong."""
    if not any(word in source for word in ("print(", "rich", "typer", "markup")):
        return
    tree = ast.parse(source)
    names = dict(_imports(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _full_name(node.func, names)
        if name in FORBIDDEN:
            yield node.lineno, f"{name}: {FORBIDDEN[name]}"
        elif name in UNMARKED and not _says_no_markup(node):
            yield node.lineno, f"{name}: give it markup=False"
        elif isinstance(node.func, ast.Name) and node.func.id == "print" and not _is_ours(node):
            yield node.lineno, f"print of a value: {CONSOLE}"
        elif isinstance(node.func, ast.Attribute) and any(_turns_markup_on(each) for each in node.keywords):
            yield node.lineno, "markup=True: a value in it is taken for a style"


def _is_ours(call: ast.Call) -> bool:
    """Whether a print shows JSON, or text of our own without a value."""
    return all(
        isinstance(argument, ast.Constant)
        or (isinstance(argument, ast.Call) and ast.unparse(argument.func) == "json.dumps")
        for argument in call.args
    )


def _says_no_markup(call: ast.Call) -> bool:
    return any(
        each.arg == "markup" and isinstance(each.value, ast.Constant) and each.value.value is False
        for each in call.keywords
    )


def _turns_markup_on(keyword: ast.keyword) -> bool:
    return keyword.arg == "markup" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True


if __name__ == "__main__":
    sys.exit(main())
