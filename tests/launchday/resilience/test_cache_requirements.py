"""Each wrong setting of a cache of the user's own is told in one line, with the line to type."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launchday.cli.doctor_engines import engine_faults
from launchday.engines.probe import probe
from launchday.resilience.cache_checks import CACHE_REQUIREMENTS, NEEDED_COMMANDS, faults_at
from launchday.resilience.requirements import Fault
from loadtest.bench.engines.valkey_nodes import (
    HOST,
    PASSWORD,
    USER,
    Certificates,
    Cluster,
    Node,
    Sentinel,
    make_certificates,
)
from tests.optional import needs
from tests.walks import ROOT


@pytest.fixture
def cluster(valkey_cluster: Cluster) -> Cluster:
    return valkey_cluster


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A server of the user's own, with a password."""
    server = Node(tmp_path_factory.mktemp("node"), {})
    server.start()
    server.ready()
    server.ask("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "+@all", "-@dangerous", "+info")
    yield server
    server.kill()


@pytest.fixture
def asked(node: Node) -> Iterator[Callable[..., Any]]:
    """Ask the server something; how it was configured is put back."""
    before = node.ask("CONFIG", "GET", "*")
    yield node.ask
    for name in ("maxmemory-policy", "appendonly", "appendfsync"):
        node.ask("CONFIG", "SET", name, before[name])
    node.ask("ACL", "SETUSER", USER, "allkeys", "+@all", "-@dangerous", "+info")


def url_of(node: Node, scheme: str = "redis") -> str:
    return f"{scheme}://{HOST}:{node.port}"


def said(faults: list[Fault]) -> list[str]:
    return [str(fault) for fault in faults]


async def test_a_node_and_a_cluster_that_are_well_have_no_faults(node: Node, cluster: Cluster) -> None:
    assert said(await faults_at(url_of(node))) == []
    assert said(await faults_at(f"redis://{USER}:open%20sesame%2F+%40%3A@{HOST}:{node.port}")) == []
    assert said(await faults_at(f"{cluster.address}/?wait_replicas=1")) == []


async def test_a_node_of_a_cluster_is_refused_with_the_address_of_a_cluster(cluster: Cluster) -> None:
    port = cluster.nodes[1].port
    (fault,) = await faults_at(f"redis://{HOST}:{port}")
    assert fault.refuse
    assert fault.remedy == f"LAUNCHDAY_CACHE_URL=redis+cluster://{HOST}:{port}"


async def test_one_node_is_refused_as_a_cluster(node: Node) -> None:
    (fault,) = await faults_at(url_of(node, "redis+cluster"))
    assert fault.remedy == f"LAUNCHDAY_CACHE_URL=redis://{HOST}:{node.port}"


async def test_a_cluster_is_told_what_takes_more_of_it_than_must_be(cluster: Cluster) -> None:
    primary = cluster.nodes[0]
    primary.ask("CONFIG", "SET", "cluster-require-full-coverage", "yes")
    try:
        (fault,) = await faults_at(cluster.address)
    finally:
        primary.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    assert fault.remedy == "CONFIG SET cluster-require-full-coverage no"
    assert not fault.refuse


async def test_more_replicas_are_awaited_than_there_are(cluster: Cluster, node: Node) -> None:
    faults = await faults_at(f"{cluster.address}/?wait_replicas=2")
    assert {fault.remedy for fault in faults} == {"LAUNCHDAY_CACHE_WAIT_REPLICAS=1"}
    (fault,) = await faults_at(f"{url_of(node)}/0?wait_replicas=1")
    assert fault.remedy == "LAUNCHDAY_CACHE_WAIT_REPLICAS=0"


async def test_a_replica_is_refused_with_its_primary(node: Node, tmp_path: Path) -> None:
    replica = Node(tmp_path, {"replicaof": f"{HOST} {node.port}"})
    replica.start()
    try:
        replica.ready()
        (fault,) = await faults_at(url_of(replica))
    finally:
        replica.kill()
    assert fault.remedy.endswith(f"LAUNCHDAY_CACHE_URL=redis://{HOST}:{node.port}")


async def test_a_sentinel_is_no_cache_and_a_cache_no_sentinel(node: Node, tmp_path: Path) -> None:
    sentinel = Sentinel(tmp_path, node, 1)
    sentinel.start()
    try:
        sentinel.ready()
        (plain,) = await faults_at(url_of(sentinel))
        (other,) = await faults_at(url_of(sentinel, "redis+sentinel") + "/other")
        assert said(await faults_at(url_of(sentinel, "redis+sentinel") + "/launchday")) == []
    finally:
        sentinel.kill()
    assert plain.remedy == f"LAUNCHDAY_CACHE_URL=redis+sentinel://{HOST}:{sentinel.port}/launchday"
    assert "watch no other" in other.text
    (none,) = await faults_at(url_of(node, "redis+sentinel") + "/launchday")
    assert none.remedy == f"LAUNCHDAY_CACHE_URL=redis+sentinel://{HOST}:26379/launchday"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("appendfsync", "everysec", "CONFIG SET appendfsync always"),
    ],
)
async def test_a_node_that_would_lose_changes(
    node: Node, asked: Callable[..., Any], name: str, value: str, remedy: str
) -> None:
    asked("CONFIG", "SET", name, value)
    (fault,) = await faults_at(url_of(node))
    assert fault.remedy == remedy


async def test_a_wrong_password_and_none_are_told_apart_from_a_cache_that_is_away(node: Node) -> None:
    for login in (f"{USER}:wrong@", f"{USER}:@", "nobody:x@"):
        (fault,) = await faults_at(f"redis://{login}{HOST}:{node.port}")
        assert fault.refuse
        assert "LAUNCHDAY_CACHE_PASSWORD_FILE=FILE" in fault.remedy


async def test_a_password_lies_in_a_file(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "password"
    url = f"redis://{USER}@{HOST}:{node.port}/0?password_file={file}"
    (missing,) = await faults_at(url)
    assert "LAUNCHDAY_CACHE_PASSWORD_FILE=FILE" in missing.remedy
    file.write_text(f"{PASSWORD}\n")
    assert said(await faults_at(url)) == []


async def test_a_user_that_must_not_do_something_is_told_what(node: Node, asked: Callable[..., Any]) -> None:
    url = f"redis://{USER}:open%20sesame%2F+%40%3A@{HOST}:{node.port}"
    asked("ACL", "SETUSER", USER, "-xadd", "-evalsha")
    (fault,) = await faults_at(url)
    assert fault.refuse
    assert fault.remedy == f"ACL SETUSER {USER} +xadd +evalsha"
    asked("ACL", "SETUSER", USER, "+xadd", "+evalsha", "resetkeys", "~{meta*")
    (fault,) = await faults_at(url)
    assert fault.remedy == f"ACL SETUSER {USER} ~{{mm*"
    assert asked("KEYS", "*probe*") == []


@needs("redis-server")
async def test_tls_and_certificates(node: Node, tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "ours")
    others = make_certificates(tmp_path / "others")
    secured = Node(tmp_path / "node", {}, files)
    secured.start()
    try:
        secured.ready()

        async def remedy(url: str, ca: Certificates | None = None, shown: Certificates | None = None) -> str:
            words = [f"ssl_ca_certs={ca.ca}"] if ca else []
            words += [f"ssl_certfile={shown.certificate}", f"ssl_keyfile={shown.key}"] if shown else []
            return "; ".join(fault.remedy for fault in await faults_at(f"{url}/0?{'&'.join(words)}"))

        rediss = url_of(secured, "rediss")
        assert await remedy(rediss, files, files) == ""
        assert await remedy(url_of(secured)) == "LAUNCHDAY_CACHE_URL=rediss://…"
        assert await remedy(url_of(node, "rediss"), files) == "LAUNCHDAY_CACHE_URL=redis://…"
        assert await remedy(rediss, others, files) == "LAUNCHDAY_CACHE_CA=FILE"
        assert (await remedy(rediss, files)).startswith("LAUNCHDAY_CACHE_CERTIFICATE=FILE")
        assert "ssl_check_hostname" in await remedy(rediss.replace(HOST, "localhost"), files, files)
    finally:
        secured.kill()


def test_every_command_of_a_script_is_one_that_the_user_is_asked_about() -> None:
    needed = {str(command[0]) for command in NEEDED_COMMANDS}
    scripts = "\n".join(path.read_text() for path in (ROOT).glob("*/**/scripts/*.lua"))
    called = {name.upper() for name in re.findall(r"redis\.call\(\s*'(\w+)'", scripts)}
    assert called
    assert called <= needed


def test_doctor_and_the_launcher_say_it_without_the_password(node: Node) -> None:
    url = f"redis+cluster://{USER}:open%20sesame%2F+%40%3A@{HOST}:{node.port}"
    (fault,) = engine_faults("cache", url)
    assert fault.refuse
    _, problem = asyncio.run(probe("cache", url.replace("sesame", "sesam")))
    assert "LAUNCHDAY_CACHE_PASSWORD_FILE" in problem
    assert "sesam" not in problem


def test_each_requirement_has_a_line_of_its_own() -> None:
    assert len({(each.setting, each.wanted) for each in CACHE_REQUIREMENTS}) == len(CACHE_REQUIREMENTS)
