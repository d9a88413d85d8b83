"""What a process of ours does first: limits, standard streams, encodings."""

from __future__ import annotations

import inspect
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from launchday import kernel_cache, startup
from launchday.cli import main as command

TRIALS = kernel_cache.ROOT / "loadtest/bench/environments"  # they set limits, to start others with them
EXAMPLES = (
    kernel_cache.ROOT / "loadtest/examples"
)  # stand for somebody else's backend, and know nothing of ours
PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest")
SAY = """
import json, os, sys
from launchday import startup
startup.prepare()
print("\\u2264")
said = {
    "soft": startup.descriptors().soft, "given": startup.given_descriptors().soft,
    "lost": startup.lost_output(), "utf8": sys.flags.utf8_mode, "opened": os.open(os.devnull, os.O_RDONLY),
}
with open(sys.argv[1], "w") as file:
    json.dump(said | {"file": file.encoding.lower()}, file)
"""


def started(
    tmp_path: Path, *, soft: int = 256, hard: int = 4_096, redirect: str = "", **env: str
) -> tuple[dict[str, object], bytes]:
    """What a process says that was started by a shell with these limits, redirections and variables."""
    said = tmp_path / "said.json"
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" "$2" {redirect}', sys.executable, SAY, str(said)],
        env={**os.environ, **env},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(said.read_text()), done.stdout


def test_the_limit_of_descriptors_goes_from_soft_to_hard_and_the_given_one_is_known(tmp_path: Path) -> None:
    said, _ = started(tmp_path)
    assert (said["soft"], said["given"]) == (4_096, 256)


def test_streams_that_are_closed_give_their_numbers_to_nobody(tmp_path: Path) -> None:
    said, _ = started(tmp_path, redirect="<&- >&- 2>&-")
    assert isinstance(said["opened"], int)
    assert said["opened"] > 2


def test_a_disk_that_is_full_costs_the_lines_and_says_how_much(tmp_path: Path) -> None:
    said, _ = started(tmp_path, redirect=">/dev/full", PYTHONUNBUFFERED="1")
    assert said["lost"] == len("≤\n".encode())


def test_a_terminal_without_a_letter_shows_its_number(tmp_path: Path) -> None:
    _, shown = started(tmp_path, PYTHONIOENCODING="latin-1")
    assert shown == b"\\u2264\n"


def test_files_are_utf8_whatever_the_locale_and_the_terminal_keeps_its_encoding(tmp_path: Path) -> None:
    said, shown = started(tmp_path, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (said["utf8"], said["file"]) == (1, "utf-8")
    assert said["soft"] == 4_096
    assert shown == b"\\u2264\n"


def test_a_limit_that_is_not_known_as_a_number_is_what_the_kernel_grants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(startup, "NR_OPEN", tmp_path / "missing")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert startup.descriptors() == startup.Descriptors(startup.MOST_DESCRIPTORS, startup.MOST_DESCRIPTORS)


def test_a_hard_limit_above_what_the_kernel_grants_is_lowered_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    granted = tmp_path / "nr_open"
    granted.write_text("65536\n")
    monkeypatch.setattr(startup, "NR_OPEN", granted)
    limits = dict.fromkeys(range(16), (1 << 30, 1 << 30)) | {
        resource.RLIMIT_NOFILE: (1_024, resource.RLIM_INFINITY)
    }

    def set_limit(which: int, wanted: tuple[int, int]) -> None:
        if wanted[1] == resource.RLIM_INFINITY or wanted[1] > 65_536:
            raise ValueError("not allowed to raise maximum limit")
        limits[which] = wanted

    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    startup.raise_limits()
    assert limits[resource.RLIMIT_NOFILE] == (65_536, 65_536)


def test_a_stream_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4_096)
        except BlockingIOError:
            break
    drained = len(os.read(reader, 65_536))
    with io.TextIOWrapper(io.FileIO(writer, "w"), encoding="utf-8", write_through=True) as stream:
        settled = startup._settled(stream)
        settled.write("whole\n")
        settled.flush()
        os.set_blocking(reader, False)
        assert os.read(reader, 1 << 20).endswith(b"whole\n")
    os.close(reader)
    assert drained


def test_on_another_system_one_line_says_what_to_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.platform = 'darwin'; import launchday.cli.main"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: launchday runs on Linux, and this is darwin: ")
    assert done.stderr.count("\n") == 1


def test_a_module_of_the_users_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('this is not yours')")
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import random'], check=True)"
    program = [sys.executable, "-P", "-c", f"from launchday import startup; startup.prepare(); {starts}"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_program_of_ours_prepares_before_anything_else() -> None:
    unprepared = set()
    for path in (path for package in PACKAGES for path in (kernel_cache.ROOT / package).rglob("*.py")):
        _, block, begins = path.read_text().partition('\nif __name__ == "__main__":\n')
        ours = not path.is_relative_to(TRIALS) and not path.is_relative_to(EXAMPLES)
        if block and ours and not begins.startswith("    startup.prepare()\n"):
            unprepared.add(path.relative_to(kernel_cache.ROOT).as_posix())
    assert unprepared == {"launchday/cli/__main__.py", "launchday/cli/main.py"}  # `main` itself does
    assert "    startup.prepare()\n" in inspect.getsource(command.main)
