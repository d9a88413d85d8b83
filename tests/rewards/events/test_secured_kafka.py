"""On an Apache Kafka with TLS, logins and access control lists: all that we do with it, and what we say when
it does not let us.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from launchday.cli.doctor import examine
from launchday.clock import SystemClock
from launchday.engines.probe import probe
from launchday.resilience.bus import Bus
from launchday.resilience.bus_handshake import why_not
from launchday.resilience.requirements import Fault
from launchday.settings import Settings
from loadtest.bench.engines.kafka_brokers import KafkaBrokers
from rewards import dead_letters
from rewards.analytics import writer as writer_module
from rewards.analytics.lake import Lake
from rewards.analytics.writer import Writer
from rewards.consumer import consumer
from rewards.events import (
    EVENT_TOPICS,
    PLAYER,
    TOPICS,
    BusUnavailableError,
    EventProducer,
    Topic,
    TopicsMissingError,
    ensure_topics,
)
from rewards.events.bus_checks import BUS_REQUIREMENTS, bus_faults, check_bus
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.rights import all_of
from tests.optional import needs
from tests.rewards.examples import a_kill
from tests.rewards.running import applied, running
from tests.waiting import until

pytestmark = [needs("apache-kafka"), needs("openssl"), pytest.mark.timeout(120)]

PROGRAMS = {"rewards": "rewards", "analytics": "analytics", "servers": "game servers and the fleet"}
"""User → the program whose rights it has, and no more."""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBrokers]:
    made = KafkaBrokers(tmp_path_factory.mktemp("secured"), count=1, users=[*PROGRAMS, "nobody"])
    made.start()
    asyncio.run(made.all_there())
    yield made
    made.stop()


@pytest.fixture
def secured(tmp_path: Path, brokers: KafkaBrokers, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that reach the broker as the user rewards, by SCRAM-SHA-512; there is no other engine."""
    monkeypatch.setattr(consumer, "SESSION_TIMEOUT_MS", 6_000)  # Apache Kafka takes no shorter one
    monkeypatch.setattr(writer_module, "SESSION_TIMEOUT_MS", 6_000)
    return Settings(
        state_dir=tmp_path,
        topic_prefix=f"test-{uuid.uuid4().hex[:12]}",
        kafka_bootstrap=brokers.address,
        kafka_security="sasl_ssl",
        kafka_ca=str(brokers.authority.ca),
        kafka_user="rewards",
        kafka_password=SecretStr(brokers.users["rewards"]),
    )


def bus_of(settings: Settings, **other: Any) -> Bus:
    return Bus.of(settings.model_copy(update=other), SystemClock())


def as_user(settings: Settings, brokers: KafkaBrokers, user: str) -> Bus:
    return bus_of(settings, kafka_user=user, kafka_password=SecretStr(brokers.users[user]))


async def allow_programs(brokers: KafkaBrokers, prefix: str) -> None:
    for user, program in PROGRAMS.items():
        await brokers.allow(user, list(all_of(program, prefix)))


async def test_programs_with_their_own_rights_alone_do_all_that_they_do(
    secured: Settings, store_url: str, brokers: KafkaBrokers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.2)
    prefix = secured.topic_prefix
    secured = secured.model_copy(update={"store_url": store_url})
    await ensure_topics(brokers.inner_address, prefix)
    await allow_programs(brokers, prefix)
    for user, program in PROGRAMS.items():
        assert await bus_faults(as_user(secured, brokers, user), prefix, (program,)) == []
    servers = as_user(secured, brokers, "servers")
    producer = EventProducer(servers, prefix, "server-1", tmp_path / "spool", clock=SystemClock())
    await producer.start()
    written = Writer(as_user(secured, brokers, "analytics"), prefix, Lake(tmp_path / "lake"), SystemClock())
    writing = asyncio.create_task(written.run())
    mine = bus_of(secured)
    async with running(secured, bus=mine) as rewards:
        for victim in range(2, 12):
            producer.emit(a_kill(1, victim))
        assert await producer.flush(20)
        assert producer.idempotent is True  # a right to write is one to write idempotently (KIP-679)
        sender = await KafkaSender.open(servers, "test")
        await sender.send([KafkaRecord(PLAYER.name(prefix), b"1", b"no event", 1)])
        await sender.close()
        await applied(rewards, 11, secured)
        assert await rewards.consumer.lag() == 0
        await until(lambda: written.written == 10, "the kills in the lake")
        (letter,) = await dead_letters.read_newest(mine, prefix, 5)
        assert letter.value == b"no event"
    written.stop()
    await writing
    await producer.stop()


@pytest.mark.parametrize("by", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"])
async def test_every_way_to_log_in_is_taken_and_no_secret_is_logged(
    secured: Settings, brokers: KafkaBrokers, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "aiokafka")
    if by == "certificate":
        own = brokers.authority.certificate("game-server")
        address = {"kafka_bootstrap": brokers.certificate_address, "kafka_security": "ssl"}
        bus = bus_of(secured, kafka_certificate=str(own), **address)
    else:
        command = brokers.authority.token_command("rewards", 60)
        bus = bus_of(secured, kafka_mechanism=by, kafka_token_command=command)
    assert await probe("bus", str(bus), bus) == ("answers", "")
    sender = await KafkaSender.open(bus, "test", idempotence=False)
    if by == "OAUTHBEARER":  # nobody has allowed it anything
        with pytest.raises(BusUnavailableError, match=r"may not write to .*: kafka-acls\.sh .* --topic t"):
            await sender.send([KafkaRecord(PLAYER.name(secured.topic_prefix), b"1", b"x", 1)])
    await sender.close()
    assert "Metadata" in caplog.text
    assert "SaslAuth" not in caplog.text
    assert brokers.users["rewards"] not in caplog.text
    assert "eyJ" not in caplog.text


async def test_a_login_that_ends_is_renewed_between_two_requests(
    secured: Settings, brokers: KafkaBrokers
) -> None:
    prefix = secured.topic_prefix
    await ensure_topics(brokers.inner_address, prefix)
    await brokers.allow("rewards", list(all_of("rewards", prefix)))
    command = brokers.authority.token_command("rewards", 2)
    sender = await KafkaSender.open(
        bus_of(secured, kafka_mechanism="OAUTHBEARER", kafka_token_command=command), "test"
    )
    record = KafkaRecord(PLAYER.name(prefix), b"1", b"x", 1)
    assert await sender.send([record]) == []
    connections = sender._producer.client._conns
    before = set(connections.values())
    assert before
    await until(lambda: not any(each.connected() for each in before), "their end, before the token's")
    assert await sender.send([record]) == []
    assert not before & {each for each in connections.values() if each.connected()}
    await sender.close()


WRONG: Sequence[tuple[str, dict[str, Any], str]] = (
    ("password", {"kafka_password": SecretStr("x")}, "it refuses the login of rewards by SCRAM-SHA-512"),
    ("password of PLAIN", {"kafka_mechanism": "PLAIN", "kafka_password": SecretStr("x")}, "by PLAIN: see"),
    ("authority", {"kafka_ca": "stranger"}, "an authority that is not trusted: name its file in .*_KAFKA_CA"),
    ("host name", {"kafka_bootstrap": "ip"}, "its certificate is for another host name"),
    ("no TLS", {"kafka_security": "sasl_plaintext"}, "it wants TLS: LAUNCHDAY_KAFKA_SECURITY=sasl_ssl"),
    ("nothing", {"kafka_security": "plaintext"}, "it wants TLS: LAUNCHDAY_KAFKA_SECURITY=ssl"),
    ("no login", {"kafka_security": "ssl"}, "it wants a login, by OAUTHBEARER, PLAIN, .*=sasl_ssl"),
    (
        "no certificate",
        {"kafka_bootstrap": "mtls", "kafka_security": "ssl"},
        "set .*KAFKA_CERTIFICATE",
    ),
    ("TLS", {"kafka_bootstrap": "inner"}, "it does not speak TLS: LAUNCHDAY_KAFKA_SECURITY=sasl_plaintext"),
    ("a login", {"kafka_bootstrap": "inner", "kafka_security": "sasl_plaintext"}, "it asks for no login"),
    ("token", {"kafka_mechanism": "OAUTHBEARER"}, "it refuses the token of LAUNCHDAY_KAFKA_TOKEN_COMMAND"),
)


PLACED = ("kafka_bootstrap", "kafka_ca")


@pytest.mark.parametrize(("other", "said"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
async def test_a_wrong_setting_is_said_with_what_to_set(
    secured: Settings, brokers: KafkaBrokers, other: dict[str, Any], said: str
) -> None:
    places = {
        "ip": brokers.address.replace("localhost", "127.0.0.1"),
        "inner": brokers.inner_address,
        "mtls": brokers.certificate_address,
        "stranger": str(brokers.authority.stranger),
    }
    token = brokers.authority.token_command("rewards", 60, audience="somebody else")
    placed = {key: places.get(value, value) if key in PLACED else value for key, value in other.items()}
    bus = bus_of(secured, kafka_token_command=token, **placed)
    version, problem = await probe("bus", str(bus), bus)
    assert version == ""
    assert "\n" not in problem
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(problem)


async def test_a_mechanism_that_is_not_offered_is_said_with_those_that_are(
    secured: Settings, brokers: KafkaBrokers
) -> None:
    bus = bus_of(secured)
    object.__setattr__(bus, "mechanism", "SCRAM-SHA-1")  # no setting can say that
    said = await why_not(bus)
    assert said is not None
    assert "not log in by SCRAM-SHA-1, but by OAUTHBEARER, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512" in said


def test_topics_that_may_not_be_made_are_said_with_the_line_and_no_service_starts(
    secured: Settings, brokers: KafkaBrokers
) -> None:
    prefix = secured.topic_prefix
    with pytest.raises(TopicsMissingError) as missing:
        asyncio.run(ensure_topics(bus_of(secured), prefix))
    assert [name for name, _ in missing.value.lines] == [topic.name(prefix) for topic in TOPICS]
    line = missing.value.lines[1][1]
    assert line.startswith(f"kafka-topics.sh --bootstrap-server {brokers.address} --command-config")
    assert f"--create --topic {prefix}.match --partitions 1 --config retention.ms=604800000" in line
    assert "--config message.timestamp.type=LogAppendTime" in line
    with pytest.raises(SystemExit) as ended:
        check_bus(bus_of(secured), prefix, "analytics", EVENT_TOPICS)
    lines = str(ended.value).splitlines()
    assert len(lines) == len(EVENT_TOPICS) + 1  # and the group
    assert f"error: the topic {prefix}.match is missing, and may not be created here: {line}" in lines


async def test_what_a_user_may_not_do_is_said_with_the_access_control_list_to_add(
    secured: Settings, brokers: KafkaBrokers
) -> None:
    prefix = secured.topic_prefix
    await ensure_topics(brokers.inner_address, prefix)
    rights = list(all_of("rewards", prefix))
    rights.remove(("topic", f"{prefix}.player", "Read"))
    rights.remove(("group", f"{prefix}.rewards", "Read"))
    await brokers.allow("nobody", rights)
    bus = as_user(secured, brokers, "nobody")
    found: list[Fault] = []

    async def told() -> bool:  # a broker hears of access control lists a moment later
        found[:] = await bus_faults(bus, prefix, ("rewards",))
        return len(found) <= 2

    await until(told, "what is not allowed")
    topic, group = found
    assert topic.refuse
    assert group.refuse
    assert topic.text == f"rewards may not Read the topic {prefix}.player"
    acl = f"kafka-acls.sh --bootstrap-server {brokers.address} --command-config admin.properties --add"
    assert topic.remedy == f"{acl} --allow-principal User:nobody --operation Read --topic {prefix}.player"
    assert group.remedy.endswith(f"--operation Read --group {prefix}.rewards")


async def make_wrong(address: str, prefix: str) -> None:
    """Topics of which each has something that does not fit."""
    wrong: dict[Topic, tuple[int, dict[str, str]]] = dict(
        zip(
            TOPICS,
            (
                (8, {"cleanup.policy": "compact", "max.message.bytes": "1000"}),
                (3, {"min.insync.replicas": "2"}),
                (4, {"retention.ms": "3600000", "unclean.leader.election.enable": "true"}),
                (1, {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}),
            ),
            strict=True,
        )
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics(
        [
            NewTopic(topic.name(prefix), partitions, 1, topic_configs=topic.configs | config)
            for topic, (partitions, config) in wrong.items()
        ]
    )
    await admin.close()


def test_topics_that_do_not_fit_are_told_by_doctor_with_the_lines_to_type(
    tmp_path: Path, brokers: KafkaBrokers
) -> None:
    prefix = f"wrong-{uuid.uuid4().hex[:8]}"
    asyncio.run(make_wrong(brokers.inner_address, prefix))
    given = Settings(state_dir=tmp_path, kafka_bootstrap=brokers.inner_address, topic_prefix=prefix)
    (engine,) = (engine for engine in examine(given)["engines"] if engine["role"] == "bus")
    told = {fault["text"]: fault for fault in engine["faults"]}
    alter = f"kafka-configs.sh --bootstrap-server {brokers.inner_address} --alter --topic {prefix}"
    for text, refuse, remedy in (
        ("player is compacted", True, f"{alter}.player --add-config cleanup.policy=delete"),
        ("player takes 1000 bytes at once", True, f"{alter}.player --add-config max.message.bytes=1048576"),
        ("match has 3 partitions", True, f"--delete --topic {prefix}.match, then kafka-topics.sh"),
        (
            "match has 1 copy, and 2 have to be in sync",
            True,
            f"{alter}.match --add-config min.insync.replicas=1",
        ),
        ("progress is kept for 1 hours", False, f"{alter}.progress --add-config retention.ms=604800000"),
        ("progress may get a leader that lacks events", False, "unclean.leader.election.enable=false"),
        (
            "dead-letters is kept for ever",
            False,
            f"{alter}.dead-letters --add-config retention.ms=2592000000",
        ),
        ("dead-letters has its records' times by CreateTime", False, "message.timestamp.type=LogAppendTime"),
    ):
        fault = told.pop(f"the topic {prefix}.{text}")
        assert fault["refuse"] == refuse
        assert remedy in fault["remedy"]
    assert told == {}
    assert not examine(given)["fit"]


def test_every_requirement_says_what_goes_wrong_and_what_to_type() -> None:
    assert len({(each.setting, each.wanted) for each in BUS_REQUIREMENTS}) == len(BUS_REQUIREMENTS)
    for each in BUS_REQUIREMENTS:
        assert each.why
        assert each.remedy
