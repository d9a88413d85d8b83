"""Folders outside of the tree whose kernels are kept too: those of modes that a studio brings.

Numba's index looks at the time and the size of the file that holds a kernel. A hook also bakes in what it
reads from the card beside it, and what it calls in our packages, whose edits go unseen. So such a folder has
a key: a hash of all its files and of every file of ours that it imports. Its kernels lie under that key. A
folder that imports what the key cannot cover (a package of somebody else's) has none: its kernels are
compiled anew in each process, and are never stale.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# What a file may import beside our packages and its own folder: what is fixed with Python and numba.
FIXED = frozenset(
    (
        "__future__",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "itertools",
        "math",
        "numba",
        "numpy",
        "operator",
        "typing",
    )
)
KEY_BYTES = 8

_keys: dict[Path, str | None] = {}


def register(folder: Path, key: str | None) -> None:
    """Note the key of a folder's kernels, before they are imported; None: they are not kept."""
    _keys[folder.resolve()] = key


def folder_of(file: str | Path) -> tuple[Path, str | None] | None:
    """Return the registered folder that ``file`` lies in and its key, or None where it lies in none."""
    for folder in Path(file).resolve().parents:
        if folder in _keys:
            return folder, _keys[folder]
    return None


def content_hash(folder: Path) -> str:
    """Return a hash of a folder's place and of what is in it, 16 hexadecimal digits. Raises OSError."""
    return _digest_of(folder).hexdigest()


def folder_key(folder: Path, hash_of_ours: Callable[[str], str | None], always: Iterable[str]) -> str | None:
    """Return the key of a folder as it lies there now, or None where it cannot cover what is imported.

    Args:
        folder: of a mode.
        hash_of_ours: gives the hash of a module of ours with all that it imports, by its name with dots; None
            where there is no such module.
        always: modules of ours that count whether they are imported or not.

    Raises:
        OSError: a file cannot be read.
    """
    digest = _digest_of(folder)
    modules, names = set(always), set[str]()
    for path in files_of(folder):
        if path.suffix == ".py":
            try:
                for module, imported in _imports(path.read_bytes()):
                    modules.add(module)
                    names.update(imported)
            except (SyntaxError, ValueError):
                return None
    if any(hash_of_ours(module) is None and module.partition(".")[0] not in FIXED for module in modules):
        return None
    for module in sorted(modules | names):
        digest.update(f"\0{module}\0{hash_of_ours(module)}".encode())
    return digest.hexdigest()


def _digest_of(folder: Path) -> hashlib.blake2b:
    digest = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=KEY_BYTES)
    for path in files_of(folder):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return digest


def files_of(folder: Path) -> list[Path]:
    """The files of a folder in order, but hidden ones and what Python leaves behind."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            found.append(path)
    return found


def _imports(source: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield each module that a source imports, but those of its own folder, with names that may be modules.

    A package's own hash does not cover its modules: ``from package import module`` names two.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module, [f"{node.module}.{alias.name}" for alias in node.names]
