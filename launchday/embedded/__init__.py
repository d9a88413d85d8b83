"""The engines that we start ourselves, each a child process: Valkey, PostgreSQL and a Kafka-protocol broker from wheels, and
Apache Kafka from its jars."""

from launchday.embedded.apache_kafka import ApacheKafka
from launchday.embedded.broker import Broker
from launchday.embedded.postgres import Postgres
from launchday.embedded.server import EmbeddedServer, ServerError, free_port
from launchday.embedded.valkey import Valkey

__all__ = ["ApacheKafka", "Broker", "EmbeddedServer", "Postgres", "ServerError", "Valkey", "free_port"]
