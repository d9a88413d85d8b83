"""The engines that we start ourselves, each a child process.

Valkey, PostgreSQL and a Kafka-protocol broker come from wheels, Apache Kafka from its jars. ``stack`` starts
those that the settings do not name; ``probe`` asks those that they do.
"""

from launchday.engines.apache_kafka import ApacheKafka
from launchday.engines.base import EmbeddedServer, EngineError, free_port
from launchday.engines.broker import Broker
from launchday.engines.postgres import Postgres
from launchday.engines.valkey import Valkey

__all__ = ["ApacheKafka", "Broker", "EmbeddedServer", "EngineError", "Postgres", "Valkey", "free_port"]
