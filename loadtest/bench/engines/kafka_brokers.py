"""Apache Kafka as a studio rents it: brokers in KRaft mode with TLS, logins and access control lists.

Each node is broker and controller at once; three have a quorum, copies on all and two in sync at least.
Clients come by TLS, with a login (PLAIN, SCRAM, OAUTHBEARER) on one port, with a certificate on another. A
third port, on the loopback and in the clear, is the brokers' own and the administrator's.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from launchday import child_processes, folders
from launchday.engines import ApacheKafka, EngineError, free_port
from launchday.engines.apache_kafka import DATA, NO_MAPPED_COUNTERS, class_path
from loadtest.bench.engines import kafka_token
from loadtest.bench.engines.kafka_token import ISSUER, KEY_ID, base64_url

HOST = "localhost"  # the name in the certificates
AUDIENCE = "kafka"
OPENSSL_S = 30
JOIN_S = 60.0  # until all brokers are in the cluster
FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", NO_MAPPED_COUNTERS)
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

# Kafka's numbers in requests of access control lists.
RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
OPERATIONS = {
    "Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "IdempotentWrite": 12,
}  # fmt: skip
_LITERAL, _ALLOW = 3, 3


class Authority:
    """Certificates and tokens, made by openssl in a folder.

    Args:
        folder: made if missing.

    Attributes:
        ca: PEM file of the authority, which clients trust.
        stranger: PEM file of another one, which has signed nothing.
        jwks: the file by which brokers check tokens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.stranger = self._authority("ca"), self._authority("stranger")
        self.broker = self.certificate("broker", f"subjectAltName=DNS:{HOST}")
        self._openssl("genpkey", "-algorithm", "RSA", "-out", self.folder / "tokens.key")
        self.jwks = self.folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [self._jwk()]}))

    def certificate(self, name: str, extension: str = "keyUsage=digitalSignature") -> Path:
        """Make a key and a certificate for CN=name; return the PEM file that holds both."""
        key, request, made = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(extension)
        self._openssl(*_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca.with_suffix(".key"),
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", made,
        )  # fmt: skip
        made.write_text(key.read_text() + made.read_text())
        return made

    def token_command(self, user: str, life_s: float, *, audience: str = AUDIENCE) -> str:
        """The command that prints a token of a user's, good for some seconds from when it is run."""
        key = self.folder / "tokens.key"
        return shlex.join([sys.executable, kafka_token.__file__, str(key), user, f"{life_s:g}", audience])

    def _authority(self, name: str) -> Path:
        made = self.folder / f"{name}.pem"
        own = ("-x509", "-days", "2", "-subj", f"/CN={name}")
        self._openssl(*_NEW_KEY, *own, "-keyout", made.with_suffix(".key"), "-out", made)
        return made

    def _jwk(self) -> dict[str, str]:
        said = self._openssl("rsa", "-in", self.folder / "tokens.key", "-noout", "-modulus")
        modulus = bytes.fromhex(said.decode().partition("=")[2].strip())
        return {
            "kty": "RSA",
            "kid": KEY_ID,
            "alg": "RS256",
            "use": "sig",
            "n": base64_url(modulus),
            "e": "AQAB",
        }

    def _openssl(self, *arguments: str | Path) -> bytes:
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=OPENSSL_S)
        if done.returncode != 0:
            raise EngineError(
                f"openssl {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}"
            )
        return done.stdout


_NEW_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class SecuredBroker(ApacheKafka):
    """One node of a cluster; ``port`` is the one where clients log in.

    Args:
        folder, log: as of EmbeddedServer.
        cluster: which it is of.
        node: its number, from 1.
    """

    own_names: ClassVar[tuple[str, ...]] = (DATA, "server.properties")

    def __init__(self, folder: Path, log: Path, cluster: KafkaBrokers, node: int) -> None:
        super().__init__(folder, log)
        self.node = node
        self.port = free_port()
        self.inner_port, self.controller_port, self.certificate_port = free_port(), free_port(), free_port()
        self._cluster = cluster

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"{HOST}:{self.port}"

    def format(self) -> subprocess.Popen[bytes]:
        """Begin to format the storage."""
        folders.claim(self.folder, self.own_names)
        config = self.folder / "server.properties"
        config.write_text(self._properties(self.controller_port))
        argv = [str(self.program()), *FLAGS, "-cp", class_path(), "kafka.tools.StorageTool", "format"]
        argv += ["-c", str(config), f"--cluster-id={self._cluster.cluster_id}"]
        for user, password in self._cluster.users.items():
            for mechanism in SCRAM:
                argv += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        return child_processes.spawn(argv, log=self.log, cwd=self.folder)

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer."""
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._cluster.authority.jwks.as_uri()}"
        argv = [str(self.program()), *FLAGS, allowed, "-cp", class_path(), "kafka.Kafka"]
        return child_processes.spawn(
            [*argv, str(self.folder / "server.properties")], log=self.log, cwd=self.folder
        )

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        port, self.port = self.port, self.inner_port
        try:
            return super().answers()
        finally:
            self.port = port

    def await_ready(self) -> None:
        """Wait for a node that was launched. Raises EngineError."""
        assert self.process is not None
        if (failure := self._await_ready(self.process)) is not None:
            raise EngineError(failure)

    def _properties(self, controller_port: int) -> str:
        cluster = self._cluster
        ports = {
            "CLIENT": (HOST, self.port),
            "CERTIFICATE": (HOST, self.certificate_port),
            "INNER": ("127.0.0.1", self.inner_port),
        }
        copies = min(3, len(cluster.nodes))
        names = " ".join(f'user_{user}="{password}"' for user, password in cluster.users.items())
        common = "org.apache.kafka.common.security"
        login = "listener.name.client"
        oauth = f"{login}.oauthbearer"
        lines = {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(
                f"{each.node}@127.0.0.1:{each.controller_port}" for each in cluster.nodes
            ),
            "listeners": ",".join(
                [f"{name}://127.0.0.1:{port}" for name, (_, port) in ports.items()]
                + [f"CONTROLLER://127.0.0.1:{controller_port}"]
            ),
            "advertised.listeners": ",".join(
                f"{name}://{host}:{port}" for name, (host, port) in ports.items()
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INNER",
            "listener.security.protocol.map": (
                "CLIENT:SASL_SSL,CERTIFICATE:SSL,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "log.dirs": DATA,
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(min(2, copies)),
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(min(2, copies)),
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # the brokers themselves, and the administrator of this bench
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(cluster.authority.broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(cluster.authority.ca),
            "listener.name.certificate.ssl.client.auth": "required",
            f"{login}.sasl.enabled.mechanisms": ",".join(cluster.mechanisms),
            f"{login}.plain.sasl.jaas.config": f"{common}.plain.PlainLoginModule required {names};",
            f"{login}.scram-sha-256.sasl.jaas.config": f"{common}.scram.ScramLoginModule required;",
            f"{login}.scram-sha-512.sasl.jaas.config": f"{common}.scram.ScramLoginModule required;",
            f"{oauth}.sasl.jaas.config": f"{common}.oauthbearer.OAuthBearerLoginModule required;",
            f"{oauth}.sasl.server.callback.handler.class": (
                f"{common}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "sasl.oauthbearer.jwks.endpoint.url": cluster.authority.jwks.as_uri(),
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "sasl.oauthbearer.expected.issuer": ISSUER,
            f"{oauth}.connections.max.reauth.ms": str(cluster.login_lasts_ms),
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())


class KafkaBrokers:
    """Some brokers of one cluster.

    Args:
        folder: of data, logs and certificates.
        count: of nodes: three, or one where only the logins are of interest.
        users: who can log in by PLAIN and SCRAM, but for a password that is made up.
        mechanisms: of logging in that are offered.
        login_lasts_ms: after which a login by token has to be renewed, if its token lives for as long.
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int = 3,
        users: Sequence[str] = (),
        mechanisms: Sequence[str] = ("PLAIN", *SCRAM, "OAUTHBEARER"),
        login_lasts_ms: int = 3_600_000,
    ) -> None:
        self.authority = Authority(folder / "certificates")
        self.users = {user: secrets.token_hex(12) for user in users}
        self.mechanisms = mechanisms
        self.login_lasts_ms = login_lasts_ms
        self.cluster_id = base64_url(b"K" + secrets.token_bytes(15))
        self.nodes: list[SecuredBroker] = []
        for node in range(1, count + 1):
            self.nodes.append(SecuredBroker(folder / f"node-{node}", folder / f"node-{node}.log", self, node))

    @property
    def address(self) -> str:
        """``host:port,…`` for clients that log in, by TLS."""
        return ",".join(node.address for node in self.nodes)

    @property
    def certificate_address(self) -> str:
        """``host:port,…`` for clients that show a certificate."""
        return ",".join(f"{HOST}:{node.certificate_port}" for node in self.nodes)

    @property
    def inner_address(self) -> str:
        """``host:port,…`` of the administrator's, without anything."""
        return ",".join(f"127.0.0.1:{node.inner_port}" for node in self.nodes)

    def start(self) -> None:
        """Start all nodes at once, from the main thread; then see `all_there`. Raises EngineError."""
        for node in self.nodes:
            node.log.parent.mkdir(parents=True, exist_ok=True)
        formatting = [node.format() for node in self.nodes]
        for node, process in zip(self.nodes, formatting, strict=True):
            if process.wait() != 0:
                raise EngineError(f"{node.name} cannot be formatted: {child_processes.last_line(node.log)}")
        try:
            for node in self.nodes:
                node.process = node.launch()
            for node in self.nodes:
                node.await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()

    async def allow(self, user: str, rights: Sequence[tuple[str, str, str]]) -> None:
        """Add to the access control lists.

        Args:
            user: who.
            rights: resource (topic, group, cluster), its name, and the operation.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self.inner_address)
        await admin.start()
        try:
            for resource, name, operation in rights:
                answer = await admin._send_to_controller(
                    CreateAclsRequest(
                        RESOURCES[resource],
                        name,
                        _LITERAL,
                        f"User:{user}",
                        "*",
                        OPERATIONS[operation],
                        _ALLOW,
                    )
                )
                if refused := [each for each in answer.creation_responses if each[0]]:
                    raise EngineError(f"{user} cannot be allowed to {operation} {name}: {refused[0][1]}")
        finally:
            await admin.close()

    async def leaders(self, topic: str) -> dict[int, int]:
        """The node that leads each partition of a topic."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.inner_address)
        await admin.start()
        try:
            (found,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        return {each["partition"]: each["leader"] for each in found["partitions"]}

    async def all_there(self) -> None:
        """Wait until all brokers are in the cluster. Raises TimeoutError."""
        async with asyncio.timeout(JOIN_S):
            while True:
                admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.nodes[0].inner_port}")
                await admin.start()
                try:
                    if len((await admin.describe_cluster())["brokers"]) == len(self.nodes):
                        return
                finally:
                    await admin.close()
                await asyncio.sleep(0.1)
