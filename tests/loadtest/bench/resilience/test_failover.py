"""The failover bench: whose connections it drops, and what it says where it cannot run."""

from __future__ import annotations

import asyncio
import os

import pytest

from loadtest.bench.options import Options
from loadtest.bench.resilience import failover
from loadtest.bench.resilience.failover import network
from loadtest.errors import BenchError


async def test_the_connections_of_a_process_to_a_port_are_found_by_the_client_s_port() -> None:
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    own = sorted(writer.get_extra_info("sockname")[1] for _, writer in ends)
    assert network.clients_of(port, os.getpid()) == own
    assert network.clients_of(port + 1, os.getpid()) == []
    for writer in [*(writer for _, writer in ends), *accepted]:
        writer.close()
        await writer.wait_closed()
    server.close()


def test_where_iptables_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "loadtest.bench.harness.own_network.shutil.which",
        lambda name, path: None if "iptables" in name else f"{path}/{name}",
    )
    with pytest.raises(BenchError, match="install iptables"):
        failover.run(Options())


def test_a_kind_that_there_is_not_is_refused_before_anything_starts() -> None:
    with pytest.raises(BenchError, match="this part has dropped, one, older, far"):
        failover.run(Options(only=("nearer",)))
