"""Check the rules that every compiled kernel keeps; ``make check`` runs it.

A kernel is a module-level function decorated with ``@njit(cache=True, nogil=True)``: cached, so that a server
starts warm; without the interpreter's lock, so that it never holds up an event loop; named in a test, or
called by a kernel that is, so that an oracle watches it. A mode's ``@hook`` is one whose flags are given.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest")
REQUIRED_FLAGS = ("cache", "nogil")
HOOK = "hook"  # of dedicated_server.modes: a decorator with all flags that a kernel needs
FORBIDDEN_FLAGS = ("parallel", "fastmath")  # threads break fork; fastmath breaks bit-for-bit replay


@dataclass
class Kernel:
    """One compiled function: where it stands and which names it uses."""

    where: str
    name: str
    uses: set[str] = field(default_factory=set)


def main() -> int:
    """Print every breach, one a line; returns the number of them capped at 1."""
    breaches, kernels = scan(ROOT)
    named_in_tests = _names_in_tests(ROOT / "tests")
    breaches += unwatched(kernels, named_in_tests)
    for breach in breaches:
        print(breach)
    print(f"kernel rules: {len(kernels)} kernels, {len(breaches)} breaches")
    return int(bool(breaches))


def scan(root: Path) -> tuple[list[str], list[Kernel]]:
    """Find all kernels below ``root`` and the breaches of the rules on flags and places."""
    breaches: list[str] = []
    kernels: list[Kernel] = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text(), str(path))
            top_level = set(tree.body)
            for node in ast.walk(tree):
                if not isinstance(node, ast.FunctionDef):
                    continue
                decorator = next((d for d in node.decorator_list if _is_njit(d)), None)
                if decorator is None:
                    continue
                where = f"{path.relative_to(root)}:{node.lineno}"
                if node not in top_level:
                    breaches.append(f"{where}: kernel {node.name} must stand at module level")
                breaches += [f"{where}: kernel {node.name}: {text}" for text in _flag_breaches(decorator)]
                uses = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                uses |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                kernels.append(Kernel(where, node.name, uses))
    return breaches, kernels


def unwatched(kernels: list[Kernel], named_in_tests: set[str]) -> list[str]:
    """Breaches of the rule that a test watches every kernel, directly or through a kernel that calls it."""
    watched = {kernel.name for kernel in kernels if kernel.name in named_in_tests}
    grew = True
    while grew:
        called = {name for kernel in kernels if kernel.name in watched for name in kernel.uses}
        grown = watched | {kernel.name for kernel in kernels if kernel.name in called}
        grew, watched = grown != watched, grown
    return [
        f"{kernel.where}: kernel {kernel.name} is named in no test, nor is a kernel that calls it"
        for kernel in kernels
        if kernel.name not in watched
    ]


def _is_njit(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(target, "id", getattr(target, "attr", "")) in {"njit", "jit", HOOK}


def _flag_breaches(decorator: ast.expr) -> list[str]:
    if isinstance(decorator, ast.Name) and decorator.id == HOOK:
        return []
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    flags = {k.arg: k.value.value for k in keywords if isinstance(k.value, ast.Constant)}
    missing = [f"needs {flag}=True" for flag in REQUIRED_FLAGS if flags.get(flag) is not True]
    return missing + [f"must not have {flag}=True" for flag in FORBIDDEN_FLAGS if flags.get(flag) is True]


def _names_in_tests(folder: Path) -> set[str]:
    names: set[str] = set()
    # Benchmarks run a kernel at full size against a floor; they are not oracles, and do not count.
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(), str(path))
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        # Kernels reached through a public wrapper count when the wrapper's own module is imported by name.
    return names


if __name__ == "__main__":
    sys.exit(main())
