"""Folders with names that nobody expects: brackets, quotes, 200 characters, bytes that are no text."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from launchday import kernel_cache
from launchday.settings import env_name
from loadtest.bench.environments.commands import FLOOD, doctor_and_flood, launchday, lost, unwell
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options

# Two folders in each other may have a closing tag in their path.
HOSTILE = "[old] x [/b] {0} (1)"
QUOTES = 'it\'s "my" `folder` $HOME %s %(x)s \\ # ; & | * ? = ,'
LONG = "an even longer name of a folder " * 6 + "12345678"
LETTERS = "-ß İ 名前 \x1b[31m \t😀"
NO_TEXT = os.fsdecode(b"\xff\xfe latin-1: \xe4")
FOLDERS = ("record_dir", "spectator_dir")
TREE_S = 120.0
KEPT = ("report.html", "report.json", "report.csv")


def named(name: str, options: Options) -> Found:
    """Every folder that a setting or an option names, the working folder, home and temporary one have it."""
    top = Path(name).absolute()
    top.mkdir(parents=True)
    for each in ("tmp", "home", "state", *FOLDERS):
        (top / each).mkdir()
    env = {
        **{env_name(folder): str(top / folder) for folder in (*FOLDERS, "state_dir")},
        "TMPDIR": str(top / "tmp"),
        "HOME": str(top / "home"),
        kernel_cache.CACHE_VARIABLE: str(kernel_cache.configure()),
    }
    doctor = launchday("doctor", env=env, cwd=top)
    if (wrong := unwell(doctor)) is not None:
        return Found(False, f"doctor: {wrong}")
    if not options.floods:
        return Found(True, "doctor ends well")
    ran = launchday(*FLOOD, "--report", str(top / "report.html"), "--record", str(top), env=env, cwd=top)
    if (wrong := unwell(ran) or lost(ran)) is not None:
        return Found(False, f"flood: {wrong}")
    missing = [kept for kept in KEPT if not (top / kept).exists()]
    if missing or not list(top.glob("*.ldr")):
        return Found(False, f"flood: it ended well without {', '.join(missing) or 'a recording'}")
    return Found(True, "doctor and the flood end well, report and recordings are there")


def line_break(options: Options) -> Found:
    """The state folder's name has a line break, which PostgreSQL does not take."""
    env = {env_name("state_dir"): str(Path("two\nlines").absolute())}
    return doctor_and_flood(options, env=env, refusal="LAUNCHDAY_STATE_DIR")


def tree(options: Options) -> Found:
    """The tree itself lies in such a folder, worked in."""
    top = Path(HOSTILE, QUOTES).absolute()
    top.mkdir(parents=True)
    within = Space(bound={str(top): str(kernel_cache.ROOT)})
    env = {"PYTHONPATH": str(top)}
    ran = launchday("doctor", within=within, env=env)
    if (wrong := unwell(ran)) is not None:
        return Found(False, f"doctor: {wrong}")
    if not options.floods:
        return Found(True, "doctor ends well")
    ran = launchday(*FLOOD, within=within, env=env, timeout_s=TREE_S)
    if (wrong := unwell(ran) or lost(ran)) is not None:
        return Found(False, f"flood: {wrong}")
    return Found(True, "doctor and the flood end well")


CASES = (
    Case("names_hostile", functools.partial(named, f"{HOSTILE}/{QUOTES}/{LONG}")),
    Case("names_letters", functools.partial(named, LETTERS)),
    Case("names_no_text", functools.partial(named, NO_TEXT)),
    Case("names_line_break", line_break),
    Case("names_tree", tree, bound_s=150.0),
)
