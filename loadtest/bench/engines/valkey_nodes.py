"""Several real Valkey servers: a cluster of three primaries with a replica each, or a primary that Sentinels
watch with two replicas. From the wheel's one program, all on loopback. Over TLS, with an ACL user, they are
Debian's Redis: the wheel's program was built without.

The servers synchronise at once and elect within seconds, so that a fault fits a test. What else is set is
what docs/operating.md asks of a studio's own.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from launchday import child_processes
from launchday.engines.base import engine_environment, free_port
from launchday.engines.valkey import Valkey
from loadtest.errors import BenchError

HOST = "127.0.0.1"
SLOTS = 16384
NODE_TIMEOUT_MS = 2000
DOWN_AFTER_MS = 2000  # of Sentinels: after how long without an answer a primary counts as dead
MASTER_NAME = "launchday"
TLS_PROGRAM = "/usr/bin/redis-server"
USER, PASSWORD = "launchday", "open sesame/+@:"
RIGHTS = "~* +@all -@dangerous +info"
SETTLE_S = 40.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a certificate authority and of a certificate for 127.0.0.1 by it."""

    ca: Path
    certificate: Path
    key: Path


class Node:
    """One server, in its own folder; started again it has its port and what was on its disk.

    Args:
        folder: its own.
        options: as in valkey.conf, without the leading ``--``.
        certificates: it speaks TLS alone with these; None: without.

    Attributes:
        program: the wheel's, which was built without TLS; with it Debian's ``redis-server``.
    """

    def __init__(
        self, folder: Path, options: Mapping[str, str], certificates: Certificates | None = None
    ) -> None:
        self.folder = folder
        self.options = dict(options)
        self.certificates = certificates
        self.program = Valkey.program() if certificates is None else Path(TLS_PROGRAM)
        self.port = free_port()
        self.bus_port = free_port()  # of a cluster's nodes among themselves
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; `ready` waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        port = {"port": str(self.port)}
        if self.certificates is not None:
            tls = self.certificates
            port = {
                "port": "0",
                "tls-port": str(self.port),
                "tls-cert-file": str(tls.certificate),
                "tls-key-file": str(tls.key),
                "tls-ca-cert-file": str(tls.ca),
                "tls-auth-clients": "yes",
                "tls-replication": "yes",
                "tls-cluster": "yes",
            }
        if "cluster-enabled" in self.options:
            port["cluster-port"] = str(self.bus_port)
        options = {
            "bind": HOST,
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            **port,
            **self.options,
        }
        argv = [
            str(self.program),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]
        self._spawn(argv)

    def ready(self) -> None:
        """Wait until it answers. Raises TimeoutError after `SETTLE_S`, BenchError where it has ended."""
        wait_for(self._answers, f"the server at port {self.port} to answer")

    def client(self) -> redis.Redis:
        """A plain client of this node alone, as the default user."""
        tls: dict[str, Any] = {}
        if self.certificates is not None:
            tls = {
                "ssl": True,
                "ssl_ca_certs": str(self.certificates.ca),
                "ssl_certfile": str(self.certificates.certificate),
                "ssl_keyfile": str(self.certificates.key),
            }
        return redis.Redis(host=HOST, port=self.port, decode_responses=True, socket_timeout=5.0, **tls)

    def ask(self, *words: Any) -> Any:
        """The answer of one command."""
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop it; its connections stay, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def _spawn(self, argv: Sequence[str]) -> None:
        self.process = child_processes.spawn(argv, log=self.folder / "log", env=engine_environment())

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise BenchError(f"a server ended: {child_processes.last_line(self.folder / 'log', 0)}")
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False


class Sentinel(Node):
    """A server of the same program that watches a primary."""

    def __init__(self, folder: Path, primary: Node, quorum: int, down_after_ms: int = DOWN_AFTER_MS) -> None:
        super().__init__(folder, {})
        self._down_after_ms = down_after_ms
        self._primary = primary
        self._quorum = quorum

    def start(self) -> None:
        """As in `Node`. What it learns it writes into its own file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "sentinel.conf"
        if not file.exists():
            lines = [
                f"bind {HOST}",
                f"port {self.port}",
                f"dir {self.folder}",
                f"sentinel monitor {MASTER_NAME} {HOST} {self._primary.port} {self._quorum}",
                f"sentinel down-after-milliseconds {MASTER_NAME} {self._down_after_ms}",
                f"sentinel failover-timeout {MASTER_NAME} 6000",
                f"sentinel parallel-syncs {MASTER_NAME} 2",
            ]
            file.write_text("\n".join(lines) + "\n")
        self._spawn([str(Valkey.program()), str(file), "--sentinel"])


class Nodes:
    """What a cluster and a watched primary have in common. Ended by `stop`."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)

    def stop(self) -> None:
        """End every server."""
        for node in self.nodes:
            node.resume()
            node.kill()


class Cluster(Nodes):
    """Three primaries, nodes 0 to 2, and a replica of each, nodes 3 to 5.

    Args:
        folder: of all of them.
        certificates: TLS alone, with an ACL user `USER` that has `PASSWORD`; None: neither.
        options: further ones of every node.
    """

    def __init__(
        self,
        folder: Path,
        certificates: Certificates | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.certificates = certificates
        all_of_them = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-replica-validity-factor": "0",
            **(options or {}),
        }
        if certificates is not None:
            folder.mkdir(parents=True, exist_ok=True)
            users = folder / "users.acl"  # a node that is started again knows them
            secret = hashlib.sha256(PASSWORD.encode()).hexdigest()
            users.write_text(f"user default on nopass ~* &* +@all\nuser {USER} on #{secret} {RIGHTS}\n")
            all_of_them["aclfile"] = str(users)
        super().__init__([Node(folder / str(index), all_of_them, certificates) for index in range(6)])

    def start(self) -> None:
        """Start the nodes and make them one cluster; about 2 s."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.ready()
        primaries, replicas = self.nodes[:3], self.nodes[3:]
        for index, node in enumerate(primaries):
            first, last = SLOTS * index // 3, SLOTS * (index + 1) // 3 - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for epoch, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch + 1)
        for node in self.nodes:
            for other in self.nodes[: self.nodes.index(node)]:
                node.ask("CLUSTER", "MEET", HOST, other.port, other.bus_port)
        wait_for(lambda: all(len(_known(node)) == 6 for node in self.nodes), "the nodes to meet")
        for replica, primary in zip(replicas, primaries, strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        self.settled()

    def settled(self) -> None:
        """Wait until every slot has an owner and every replica is in step."""
        wait_for(self._is_settled, "the cluster to settle")

    @property
    def address(self) -> str:
        """The setting ``cache_url`` of its services."""
        places = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        return f"redis+cluster://{places}"

    def primary_of(self, slot: int) -> Node:
        """The node that has a slot, as the others see it."""
        for first, last, (_, port, *_), *_ in self._living()[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody has slot {slot}")

    def primaries(self) -> list[Node]:
        """The nodes that have slots."""
        ports = {first[1] for _, _, first, *_ in self._living()[0].ask("CLUSTER", "SLOTS")}
        return [node for node in self.nodes if node.port in ports]

    def replica_of(self, primary: Node) -> Node:
        """A replica of a primary."""
        for _, _, (_, port, *_), *replicas in self._living()[0].ask("CLUSTER", "SLOTS"):
            if port == primary.port and replicas:
                return next(node for node in self.nodes if node.port == replicas[0][1])
        raise LookupError(f"port {primary.port} has no replica")

    def migrate(self, slots: Sequence[int], source: Node, target: Node, pause_s: float = 0.0) -> int:
        """Move slots with their keys, as a cluster is resharded under load; return how many keys moved.

        Args:
            slots: that ``source`` has.
            source, target: primaries.
            pause_s: seconds for which each slot stays half moved.
        """
        source_id, target_id = source.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
        moved = 0
        with source.client() as giving, target.client() as taking:
            for slot in slots:
                taking.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
                giving.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
                time.sleep(pause_s)
                while names := giving.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
                    giving.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *names)
                    moved += len(names)
                    time.sleep(pause_s / 10)
                for client in (taking, giving):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        return moved

    def _living(self) -> list[Node]:
        """The nodes that answer, best informed first: those in step with the newest election."""
        found = []
        for node in self.nodes:
            if node.process is None or _is_stopped(node.process.pid):
                continue
            with contextlib.suppress(redis.RedisError):
                info = _fields(node.ask("CLUSTER", "INFO"))
                found.append(
                    (info["cluster_state"] == "ok", int(info["cluster_current_epoch"]), node.port, node)
                )
        return [node for *_, node in sorted(found, reverse=True)]

    def _is_settled(self) -> bool:
        for node in self.nodes:
            if node.process is None:
                continue
            try:
                info = _fields(node.ask("CLUSTER", "INFO"))
                told = node.ask("INFO", "replication")
            except redis.RedisError:
                return False
            if info["cluster_state"] != "ok" or info["cluster_slots_ok"] != str(SLOTS):
                return False
            if told["role"] == "slave" and told["master_link_status"] != "up":
                return False
        return (
            len({tuple(sorted(str(each) for each in _owners(node))) for node in self.nodes if node.process})
            == 1
        )


class Watched(Nodes):
    """A primary (node 0), two replicas, and three Sentinels behind them.

    Args:
        folder: of all of them.
        down_after_ms: milliseconds without an answer after which a primary counts as dead.
    """

    def __init__(self, folder: Path, down_after_ms: int = DOWN_AFTER_MS) -> None:
        self.servers = [Node(folder / str(index), {}) for index in range(3)]
        self.sentinels = [
            Sentinel(folder / f"sentinel{index}", self.servers[0], 2, down_after_ms) for index in range(3)
        ]
        super().__init__([*self.servers, *self.sentinels])

    def start(self) -> None:
        """Start them; about 3 s."""
        primary, *replicas = self.servers
        primary.start()
        primary.ready()
        for node in replicas:
            node.options["replicaof"] = f"{HOST} {primary.port}"
        for node in self.nodes[1:]:
            node.start()
        for node in self.nodes[1:]:
            node.ready()
        self.settled()

    def settled(self) -> None:
        """Wait until the replicas are in step and the Sentinels know of each other."""
        wait_for(self._is_settled, "the Sentinels and replicas to settle")

    @property
    def address(self) -> str:
        """The setting ``cache_url`` of its services."""
        places = ",".join(f"{HOST}:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{places}/{MASTER_NAME}"

    def primary(self, asked: Node | None = None) -> Node:
        """The server that a Sentinel names; None: the first one."""
        _, port = (asked or self.sentinels[0]).ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return next(node for node in self.servers if node.port == int(port))

    def _is_settled(self) -> bool:
        for node in self.sentinels:
            told = node.ask("SENTINEL", "MASTER", MASTER_NAME)
            if int(told["num-other-sentinels"]) < 2 or int(told["num-slaves"]) < 2:
                return False
        info = self.primary().ask("INFO", "replication")
        states = [
            value for name, value in info.items() if name.startswith("slave") and isinstance(value, dict)
        ]
        return len(states) == 2 and all(each["state"] == "online" for each in states)


@contextlib.contextmanager
def running(nodes: Cluster | Watched) -> Iterator[Any]:
    """Start them, and end them with the block."""
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


def wait_for(done: Callable[[], bool], what: str, within_s: float = SETTLE_S) -> None:
    """Wait until something is so. Raises TimeoutError, which says for what."""
    until = time.monotonic() + within_s
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {within_s:g} s for {what}")
        time.sleep(POLL_S)


def make_certificates(folder: Path) -> Certificates:
    """An authority of one day, and a certificate by it for 127.0.0.1, as server and as client."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    files = Certificates(folder / "ca.pem", folder / "node.pem", folder / "node.key")
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node of a test")])

    def signed(
        subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
        )
        for each in extensions:
            builder = builder.add_extension(each, critical=isinstance(each, x509.BasicConstraints))
        return builder.sign(ca_key, hashes.SHA256())

    ca = signed(issuer, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    certificate = signed(name, key.public_key(), host)
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    files.key.chmod(0o600)
    return files


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def _fields(text: Any) -> dict[str, str]:
    if isinstance(text, dict):
        return {str(name): str(value) for name, value in text.items()}
    return dict(line.split(":", 1) for line in str(text).splitlines() if ":" in line)


def _known(node: Node) -> list[str]:
    told = node.ask("CLUSTER", "NODES")
    if isinstance(told, dict):
        return [each for each, about in told.items() if about["connected"]]
    return [line for line in str(told).splitlines() if "handshake" not in line and " connected" in line]


def _owners(node: Node) -> list[tuple[int, int, int]]:
    return [(first, last, owner[1]) for first, last, owner, *_ in node.ask("CLUSTER", "SLOTS")]
