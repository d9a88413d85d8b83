"""``capture``: captures a match with tshark on the loopback and checks that its payloads are unreadable.

A plaintext control shows that the capture works: everything in it is readable.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.sealing import CHACHA_TAG_BYTES
from launchday import child_processes
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import CLUSTER, HOST, MATCH_ID, RunConfig, ServerReady
from loadtest.bench.tick.leak_check import (
    excess_bits,
    forms_of_id,
    forms_of_match,
    readable_secrets,
    worst_column,
)
from loadtest.errors import BenchError

CAPTURE_TIMEOUT_S: Final = 60.0  # for tshark to begin, and to write what came last
PROBE: Final = b"probe"
PROBE_S: Final = 0.1
STOP_S: Final = 5.0
COLUMNS: Final = 16 + CHACHA_TAG_BYTES  # bytes that every sealed datagram has
FIELDS: Final = ("udp.srcport", "udp.payload")
LAYERS: Final = ("frame", "eth", "ip", "udp", "data")


class Capture:
    """Everything that UDP ``port`` of the loopback sends and receives, as tshark captures it. A context
    manager.

    Raises BenchError where tshark is missing or not allowed to capture.
    """

    def __init__(self, port: int, folder: Path) -> None:
        program = shutil.which("tshark")
        if program is None:
            raise BenchError("tshark is missing: install it (Debian: apt install tshark)")
        self._argv = [
            program,
            "-i",
            "lo",
            "-f",
            f"udp port {port}",
            "-l",
            "-n",
            "-Q",
            "--disable-protocol",
            "ALL",
        ]
        for layer in LAYERS:
            self._argv += ["--enable-protocol", layer]
        self._argv += ["-T", "fields", *(word for field in FIELDS for word in ("-e", field))]
        self._port = port
        self._output = folder / "captured"
        self._log = folder / "tshark.log"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        """Return once tshark captures, that is, once it has captured a datagram of ours."""
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(self._argv, stdout=output, stderr=log)
        self._socket.bind((HOST, 0))
        try:
            self._until(lambda: self.send(PROBE) and self._output.stat().st_size > 0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child_processes.stop(self._process, STOP_S)
        self._socket.close()

    def send(self, payload: bytes) -> bool:
        """Send a datagram of our own through the captured port."""
        self._socket.sendto(payload, (HOST, self._port))
        return True

    def captured(self, final_payload: bytes) -> tuple[list[bytes], list[bytes]]:
        """Send ``final_payload``, and return the payloads of others and our own up to it."""
        own = str(self._socket.getsockname()[1])
        self.send(final_payload)
        self._until(lambda: final_payload.hex() in self._text())
        lines = [line.split("\t") for line in self._text().splitlines()]
        others, ours = (
            [bytes.fromhex(payload) for port, payload in lines if (port == own) == mine]
            for mine in (False, True)
        )
        return others, [payload for payload in ours if payload != PROBE]

    def _text(self) -> str:
        return self._output.read_text().replace(":", "")  # older versions put one between bytes

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + CAPTURE_TIMEOUT_S
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise BenchError(
                    f"tshark cannot capture the loopback: {child_processes.last_line(self._log)}"
                )
            time.sleep(PROBE_S)


def run(players: int = 20, seconds: float = 10.0, *, seed: int = 1) -> dict[str, Any]:
    """Capture one match and return what is printed. Raises BenchError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    config = RunConfig(players, CLUSTER, seconds, seed, floor=False, port=port)
    opened: list[ServerReady] = []
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as folder, Rig(players) as rig:
        rig.warm_up()
        with Capture(port, Path(folder)) as tap:
            served, _clients = rig.play(config, opened.append)
            secrets = secrets_of(config, opened[0])
            others, ours = tap.captured(b"".join(secrets.values()))
    return describe(config, secrets, others, ours) | {
        "connected": served.connected,
        "dropped": served.dropped,
    }


def secrets_of(config: RunConfig, opened: ServerReady) -> dict[str, bytes]:
    """Return what must not be readable, by name: ids in every form, and the keys of every connect token."""
    secrets = forms_of_match(MATCH_ID)
    for entity, player_id in enumerate(config.player_ids):
        secrets |= forms_of_id(f"player {entity}", player_id)
    for token in opened.tokens:
        public = connect_token.read_public(token)
        secrets[f"up key of {public.entity}"] = public.client_to_server_key
        secrets[f"down key of {public.entity}"] = public.server_to_client_key
    return secrets


def describe(
    config: RunConfig, secrets: dict[str, bytes], others: list[bytes], ours: list[bytes]
) -> dict[str, Any]:
    """Return what is printed.

    ``readable``: secrets found in the match's datagrams; ``readable_in_plaintext``: secrets found in one
    datagram that carried all of them unsealed. ``excess_bits``: how much less entropy sealed bytes have than
    random ones, in bits a byte; ``worst_column``: the same of the most predictable byte of a datagram.
    """
    lanes = {}
    for name, kind, header_bytes in (
        ("to_server", datagrams.FROM_CLIENT, datagrams.UP_HEADER_BYTES),
        ("to_client", datagrams.FROM_SERVER, datagrams.DOWN_HEADER_BYTES),
    ):
        bodies = [payload[header_bytes:] for payload in others if payload[:1] == bytes([kind])]
        pooled = b"".join(bodies)
        place, excess = worst_column(bodies, COLUMNS) if bodies else (0, 0.0)
        lanes[name] = {
            "datagrams": len(bodies),
            "bytes": len(pooled),
            "excess_bits": round(excess_bits(pooled), 5) if pooled else 0.0,
            "worst_column": {"place": place, "excess_bits": round(excess, 4)},
        }
    return {
        "bench": "capture",
        "players": config.players,
        "seconds": config.seconds,
        "captured": len(others),
        "secrets": len(secrets),
        "readable": len(readable_secrets(others, secrets)),
        "readable_in_plaintext": len(readable_secrets(ours, secrets)),
        **lanes,
    }
