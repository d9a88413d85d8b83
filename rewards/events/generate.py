"""Generate ``events_pb2.py`` and its types from ``events.proto``: ``python rewards/events/generate.py``.

Run it as a file, because the package needs what it makes. It needs ``grpcio-tools``, which only developers
have. The generated files are committed, and a test compares them with the schema.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from launchday import startup

SCHEMA = Path(__file__).resolve().parents[1] / "events.proto"
GENERATED = ("events_pb2.py", "events_pb2.pyi")

# The compiler's style is its own, its Mappings lack type arguments, and it has ClassVars outside classes.
_TYPES_HEADER = '# ruff: noqa\n# fmt: off\n# mypy: disable-error-code="type-arg, misc"\n'


def generate(folder: Path) -> None:
    """Write the generated modules into ``folder``.

    Raises ``subprocess.CalledProcessError`` with the compiler's output.
    """
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={SCHEMA.parent}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            SCHEMA.name,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    types = folder / "events_pb2.pyi"
    types.write_text(_TYPES_HEADER + types.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    startup.prepare()
    generate(Path(__file__).parent)
