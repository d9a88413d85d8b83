"""Apache Kafka in KRaft mode, its jars fetched by Maven and run by the machine's Java.

It replaces the embedded broker where durability, idempotent producers or Kafka's own behaviour matter.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import ClassVar

from launchday import cache_folder, child_processes
from launchday.engines.base import EmbeddedServer, EngineError, exchange, free_port
from launchday.resilience.parts import API_VERSIONS_REQUEST

VERSION = "4.3.1"
MIN_JAVA = 17
DATA = "data"
NO_MAPPED_COUNTERS = "-XX:-UsePerfData"  # a file of holes, mapped, in the temporary folder
HEAP = "-Xmx512m"  # a laptop's share; the broker idles at 340 MB resident

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>launchday</groupId> <artifactId>kafka-runtime</artifactId> <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka_2.13</artifactId> <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka-tools</artifactId> <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class ApacheKafka(EmbeddedServer):
    """One node that is broker and controller at once, on two loopback ports."""

    name = "Apache Kafka"
    package = "Apache Kafka (make kafka)"
    own_names: ClassVar[tuple[str, ...]] = (DATA, "server.properties")
    ready_timeout_s = 60.0
    stop_timeout_s = 15.0  # a controlled shutdown moves nothing anywhere, but takes its seconds

    @classmethod
    def program(cls) -> Path:
        """The machine's ``java``; raises EngineError when it, or the jars, are missing."""
        java = shutil.which("java")
        if java is None:
            raise EngineError(
                f"Apache Kafka needs Java {MIN_JAVA} or newer: install it, or use the embedded broker"
            )
        if not is_resolved():
            raise EngineError("Apache Kafka's jars are missing: run make kafka")
        return Path(java)

    @classmethod
    def version(cls) -> str:
        """As in EmbeddedServer."""
        cls.program()
        return VERSION

    @property
    def address(self) -> str:
        """As in EmbeddedServer."""
        return f"127.0.0.1:{self.port}"

    def launch(self) -> subprocess.Popen[bytes]:
        """As in EmbeddedServer. The storage is formatted at the first start."""
        config = self.folder / "server.properties"
        data = self.folder / DATA
        config.write_text(self._properties(controller_port=free_port()))
        if not (data / "meta.properties").exists():
            self._tool(
                "kafka.tools.StorageTool", "format", "-c", str(config), f"--cluster-id={_cluster_id()}"
            )
        flags = [HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", NO_MAPPED_COUNTERS]
        argv = [str(self.program()), *flags, "-cp", class_path(), "kafka.Kafka", str(config)]
        return child_processes.spawn(argv, log=self.log, cwd=self.folder)

    def answers(self) -> bool:
        """As in EmbeddedServer."""
        return len(exchange(self.port, API_VERSIONS_REQUEST, 8)) == 8

    def _tool(self, main_class: str, *arguments: str) -> None:
        argv = [str(self.program()), "-cp", class_path(), main_class, *arguments]
        with self.log.open("ab") as output:
            done = subprocess.run(argv, stdout=output, stderr=output, cwd=self.folder)
        if done.returncode != 0:
            raise EngineError(
                f"{main_class} failed with code {done.returncode}: "
                f"{child_processes.last_line(self.log)} (log: {self.log})"
            )

    def _properties(self, controller_port: int) -> str:
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": DATA,  # below the working folder: a comma in a path would part it, a backslash vanish
            "auto.create.topics.enable": "false",  # topics are created by us, in one place
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())


def _cluster_id() -> str:
    """22 letters of URL-safe base64; one in 64 begins with a dash, which is why it is given with ``=``."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def jar_folder() -> Path:
    """Return the folder of the jars: in the user's cache, so that it outlives a clone.

    Without a home they lie where compiled kernels would (`launchday.cache_folder`), or in a temporary folder.
    """
    if (root := cache_folder.user_cache()) is not None:
        return root / "launchday" / f"kafka-{VERSION}"
    return (cache_folder.writable_folder("kafka") or Path(tempfile.gettempdir())) / f"kafka-{VERSION}"


def class_path() -> str:
    """Return the class path of the broker and its tools."""
    return str(jar_folder() / "*")


def is_resolved() -> bool:
    """Whether the jars are there."""
    return (jar_folder() / f"kafka_2.13-{VERSION}.jar").exists()


def resolve() -> Path:
    """Fetch the jars and all they need with Maven, whole or not at all; return their folder.

    Raises EngineError when Maven or the network is missing.
    """
    folder = jar_folder()
    if is_resolved():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise EngineError(
            "Apache Kafka is fetched with Maven: install maven, or set LAUNCHDAY_KAFKA_BOOTSTRAP to your own"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    jars = staging / "jars"
    try:
        jars.mkdir()
        (staging / "pom.xml").write_text(POM)
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        argv = [maven, "--batch-mode", "--quiet", goal, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        done = subprocess.run(argv, cwd=staging, capture_output=True, text=True)
        if done.returncode != 0:
            words = (done.stdout.strip() or done.stderr.strip() or "it printed nothing").splitlines()[0]
            raise EngineError(f"Maven could not fetch Apache Kafka {VERSION}; check the network: {words}")
        jars.rename(folder)
    except OSError as error:
        raise EngineError(
            f"{folder} cannot be made ({error.strerror}): make room, or move it away"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder
