"""The public surface of launchday: what other packages may use. Whoever changes it changes the lists here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from typer.main import get_command

import launchday
from launchday.cli.main import app
from launchday.errors import LaunchdayError

FUNCTIONS_AND_CLASSES = {
    "launchday.cache_folder": {"is_writable", "user_cache", "writable_folder"},
    "launchday.child_processes": {"die_with_parent", "last_line", "spawn", "stop"},
    "launchday.cli.backups.bus_positions": {"End", "as_rows", "ends", "of_analytics", "of_rewards", "unread"},
    "launchday.cli.backups.cache_copy": {
        "Saved",
        "clear",
        "is_in_use",
        "opened",
        "our_keys",
        "read",
        "read_written",
        "set_aside",
        "write",
    },
    "launchday.cli.backups.lake_copy": {
        "drop",
        "is_empty",
        "is_in_use",
        "keep",
        "offsets",
        "offsets_of",
        "prepare",
        "put",
        "save",
        "settle",
        "take_back",
    },
    "launchday.cli.backups.manifest": {
        "BackupError",
        "SavedFile",
        "copy",
        "create",
        "digest",
        "names",
        "new_folder",
        "read",
        "require_whole",
        "write_manifest",
    },
    "launchday.cli.backups.postgres_tools": {
        "complaint",
        "environment",
        "major_version",
        "program",
        "running",
    },
    "launchday.cli.backups.restoring": {"Target", "restore"},
    "launchday.cli.backups.saving": {"Source", "save"},
    "launchday.cli.backups.store_copy": {
        "StoreState",
        "bring_back",
        "compare",
        "counts",
        "finish",
        "look",
        "no_schema",
        "opened",
        "save",
        "undo",
    },
    "launchday.cli.doctor": {"examine", "show"},
    "launchday.cli.doctor_admission": {"admission_rows", "admission_table"},
    "launchday.cli.doctor_engines": {"engine_faults", "faults_of_bus"},
    "launchday.cli.doctor_limits": {"few_descriptors", "limits", "limits_table"},
    "launchday.cli.doctor_modes": {"modes_in_force", "modes_table"},
    "launchday.cli.flood_options": {"read_metrics", "with_limit", "with_part"},
    "launchday.cli.old_forms": {"renewed"},
    "launchday.cli.options": {"compile_parts"},
    "launchday.cli.inputs": {
        "CommandError",
        "read_modes",
        "read_scenario",
        "read_settings",
        "scenario_path",
        "usage_errors",
    },
    "launchday.clock": {"Clock", "ManualClock", "SystemClock"},
    "launchday.engines": {
        "ApacheKafka",
        "Broker",
        "EmbeddedServer",
        "EngineError",
        "Postgres",
        "Valkey",
        "free_port",
    },
    "launchday.engines.apache_kafka": {"ApacheKafka", "class_path", "is_resolved", "jar_folder", "resolve"},
    "launchday.engines.broker": {"Broker"},
    "launchday.engines.postgres": {"Postgres", "become_unprivileged", "remove_foreign_lock"},
    "launchday.engines.valkey": {"Valkey"},
    "launchday.engines.base": {
        "EmbeddedServer",
        "EngineError",
        "engine_environment",
        "exchange",
        "find_in_wheel",
        "free_port",
        "why_ended",
    },
    "launchday.engines.probe": {"probe", "unfit"},
    "launchday.engines.stack": {
        "EngineRole",
        "EngineStack",
        "engine_roles",
        "running_engines",
        "why_not_embedded",
    },
    "launchday.errors": {"LaunchdayError"},
    "launchday.folders": {
        "FolderError",
        "OwnFolder",
        "claim",
        "clear",
        "create_new",
        "is_marked",
        "is_own_file",
        "remove_files",
        "why_not_cleared",
        "write_whole",
    },
    "launchday.gives": {"Give", "currencies", "items", "with_reward"},
    "launchday.game_addresses": {
        "bind_error",
        "hosts_in",
        "is_every_address",
        "own_address",
        "parse_hosts",
        "why_not_these_regions",
    },
    "launchday.identity": {
        "ANY_SUBJECT",
        "EDDSA",
        "HS256",
        "MIN_SECRET_BYTES",
        "OPERATOR",
        "PLAYER",
        "REFRESH",
        "SERVICE",
        "STATEMENT_TYPE",
        "VIEWER",
        "CannotSignError",
        "Identity",
        "IdentityError",
        "InvalidTokenError",
        "Key",
        "KeyFileError",
        "KeySet",
        "KeyWatch",
        "Signer",
        "WeakSecretError",
        "signer_of",
    },
    "launchday.identity.claims": {
        "Claims",
        "Header",
        "Identity",
        "StatementClaims",
        "decoded",
        "encoded",
        "read_claims",
        "read_header",
        "read_statement",
        "split",
    },
    "launchday.identity.errors": {
        "CannotSignError",
        "IdentityError",
        "InvalidTokenError",
        "KeyFileError",
        "WeakSecretError",
    },
    "launchday.identity.key_file": {"parse_keys", "read_key_file", "write_key_file"},
    "launchday.identity.key_folder": {"Owner", "make", "read", "revoke", "rotate", "write"},
    "launchday.identity.keys": {"Key", "KeySet", "thumbprint"},
    "launchday.identity.of_settings": {"KeyWatch", "key_path", "read_keys", "signer_of", "why_no_keys"},
    "launchday.identity.remembered": {"Remembered"},
    "launchday.identity.signer": {"Signer"},
    "launchday.kernel_cache": {
        "by_age",
        "compiling",
        "configure",
        "functions_kept",
        "is_compiled",
        "lock_saving",
        "lose_save",
        "mode_key",
        "module_hash",
        "module_hashes",
        "parts_being_compiled",
        "saves_lost",
        "warning",
        "was_said",
    },
    "launchday.kernel_folders": {"content_hash", "files_of", "folder_key", "folder_of", "register"},
    "launchday.kernel_locator": {"NoFolderLocator", "SourceHashLocator"},
    "launchday.launcher.backend": {"Backend", "BackendError", "StateFolderHeldError", "single_instance"},
    "launchday.launcher.children": {
        "Child",
        "EngineChild",
        "ReadyAnswer",
        "ServiceChild",
        "answers_ok",
        "ask_ready",
        "module_command",
    },
    "launchday.launcher.free_ports": {"free_ports"},
    "launchday.launcher.kernels": {"CompileError", "KernelPart", "compile_kernels"},
    "launchday.launcher.lifecycle": {"ProgressPrinter", "run_with_backend", "stop_event_on_signals"},
    "launchday.launcher.listening": {
        "why_no_address",
        "why_no_game_address",
        "why_no_game_addresses",
        "why_no_game_port",
        "why_no_game_ports",
        "why_no_loopback",
        "why_not_bound",
        "why_not_listening",
    },
    "launchday.launcher.readiness": {"NotReadyError", "Patience", "await_ready", "await_servers"},
    "launchday.launcher.services": {"Service", "why_not_given", "with_urls"},
    "launchday.launcher.supervisor": {"Supervisor"},
    "launchday.machine": {"at_once", "cores", "memory_bytes", "processes_left"},
    "launchday.mapped_files": {"allocate", "map_allocated"},
    "launchday.percentiles": {
        "at_least",
        "histogram_percentiles",
        "log_bucket_percentile",
        "log_buckets",
        "percentile_name",
        "percentiles",
    },
    "launchday.problems": {"ProblemDetails", "ProblemError", "install"},
    "launchday.rate_limit": {"RateLimit"},
    "launchday.resilience.acceptor": {"Acceptor"},
    "launchday.resilience.admission.classes": {"AdmissionClass", "AdmissionClasses"},
    "launchday.resilience.admission.direct": {"Connection", "Exchange", "takes"},
    "launchday.resilience.admission.exchange_protocol": {"ExchangeProtocol"},
    "launchday.resilience.admission.gate": {"Gate", "Lane", "Waiter", "network_of"},
    "launchday.resilience.admission.metrics": {"GateCollector"},
    "launchday.resilience.admission.protocol": {"GateProtocol", "guarded_by"},
    "launchday.resilience.admission.refusals": {"Refusal"},
    "launchday.resilience.admission.request_bytes": {
        "Head",
        "chunks_end",
        "goes_on",
        "read_head",
        "request_end",
        "request_line",
    },
    "launchday.resilience.admission.waiting_line": {"LineLimits", "Turns", "Waiting", "WaitingLine"},
    "launchday.cache_address": {"CacheAddress", "completed", "parameters"},
    "launchday.resilience.cache_calls": {
        "Call",
        "Command",
        "NodeState",
        "Packed",
        "Transaction",
        "UnsentError",
        "converse",
        "is_error",
        "read",
    },
    "launchday.resilience.bus": {"Bus", "bus_at", "host_and_port"},
    "launchday.resilience.bus_connection": {"HardenedConnection", "connect"},
    "launchday.resilience.bus_handshake": {"why_not"},
    "launchday.resilience.bus_token": {"NoTokenError", "TokenCommand", "read_token"},
    "launchday.resilience.cache_checks": {
        "UnfitCacheError",
        "cache_faults",
        "faults_at",
        "fit",
    },
    "launchday.resilience.cache_client": {
        "BoundedRedis",
        "CallsPipeline",
        "LiveConnection",
        "LiveTlsConnection",
        "checked",
        "drop_idle",
        "each_primary",
        "is_cluster",
        "node_of",
        "run_script",
        "send_packed",
    },
    "launchday.resilience.cache_cluster": {"ClusterRedis", "ClusterView", "Node"},
    "launchday.resilience.cache_commands": {"changes", "key_of"},
    "launchday.resilience.cache_diagnosis": {"why_not"},
    "launchday.resilience.cache_errors": {"is_away"},
    "launchday.resilience.cache_login": {"FileLogin", "connection_options"},
    "launchday.resilience.cache_replicas": {"Replicas", "TooFewReplicasError"},
    "launchday.resilience.cache_sentinel": {"SentinelPool"},
    "launchday.resilience.clocks.shared_time": {"SharedTime", "shared_time"},
    "launchday.resilience.clocks.skew": {"ClockSkew", "to_shared_time", "watch_clock"},
    "launchday.resilience.clocks.store_time": {"StoreTime"},
    "launchday.resilience.day_partitions": {"DayTable", "keep", "run"},
    "launchday.resilience.deadline": {
        "DeadlineExceededError",
        "check",
        "current",
        "header_value",
        "left_s",
        "read_header",
        "serving",
        "within",
    },
    "launchday.resilience.descriptor_budget": {"DescriptorBudget"},
    "launchday.resilience.exhaustion": {"own_shortage"},
    "launchday.resilience.health": {
        "Health",
        "OperationsApp",
        "Part",
        "Readiness",
        "begin_stop",
        "is_stopping",
        "operations",
        "serve_operations",
    },
    "launchday.resilience.http_client": {
        "EventStream",
        "LateAnswerError",
        "NoAnswerError",
        "NotListeningError",
        "OwnShortageError",
        "ServiceClient",
        "current",
    },
    "launchday.resilience.http_server": {"HttpServer"},
    "launchday.resilience.loop_lag": {"watch_loop"},
    "launchday.resilience.packed": {"begin", "pack", "pack_names"},
    "launchday.resilience.parts": {
        "broker_part",
        "cache_part",
        "disk_part",
        "http_part",
        "store_part",
    },
    "launchday.resilience.pauses": {"PauseWatch", "timeout"},
    "launchday.resilience.reloading": {"ReloadRefusedError", "Reloading"},
    "launchday.resilience.request_metrics": {
        "RequestCollector",
        "RequestMetrics",
        "Series",
        "Stamp",
        "count_request",
    },
    "launchday.resilience.requirements": {"Fault", "Requirement", "enforce"},
    "launchday.resilience.retry": {"Backoff", "CircuitBreaker", "RetryBudget", "retry_after_s"},
    "launchday.resilience.sockets": {"harden", "redis_client", "redis_options"},
    "launchday.service": {
        "create_app",
        "gate_of",
        "identify",
        "read_again",
        "require",
        "serve",
        "terminate_when_done",
    },
    "launchday.resilience.start_checks": {"check_cache"},
    "launchday.resilience.store_address": {
        "StoreAddress",
        "connect",
        "explained",
        "parse",
        "timeline",
        "without_secrets",
    },
    "launchday.resilience.store_checks": {"check_store", "connections_of", "refusal", "store_faults"},
    "launchday.resilience.store_connections": {"Connections"},
    "launchday.resilience.uncut": {"take_turns", "uncut"},
    "launchday.startup": {
        "Descriptors",
        "descriptors",
        "given_descriptors",
        "lost_output",
        "prepare",
        "raise_limits",
    },
    "launchday.seasons": {
        "Mistake",
        "Season",
        "Seasons",
        "SeasonsError",
        "Tier",
        "check",
        "load",
        "moment",
        "placed",
        "read",
        "shipped",
    },
    "launchday.rules_in_force": {"Gift", "RulesInForce", "ShownChallenge", "ShownSeason", "ShownTier"},
    "launchday.settings": {"Settings", "SettingsError", "env_name", "environment", "in_url", "settings"},
    "launchday.escapes": {"as_escape", "escaped"},
    "launchday.local_time": {"LocalTimeError", "UnreadableTimeError", "moment", "zone"},
    "launchday.outputs": {
        "OutputError",
        "Outputs",
        "check",
        "check_folder",
        "make_folder",
        "whole_files",
        "write_whole",
    },
    "launchday.tables": {"FoldingTable"},
    "launchday.terminal": {
        "Terminal",
        "data",
        "fail",
        "finish",
        "reason",
        "run_command",
        "show_error",
        "table",
    },
    "launchday.telemetry": {"configure", "request_id"},
    "launchday.whole_numbers": {"with_whole_numbers"},
}
PACKAGES = {"launchday.engines", "launchday.identity"}
MODULES_OF_COMMANDS = {
    f"launchday.cli.{name}"
    for name in (
        *("__main__", "main", "fleet", "flooding", "keys", "mode", "player", "region", "simulating"),
        *("writebehind", "backups.commands", "new_mode.hooks"),
    )
}
COMMANDS = {
    "backup",
    "bench",
    "chaos",
    "compare",
    "compile",
    "doctor",
    "events",
    "fleet",
    "flood",
    "kafka",
    "keys",
    "match",
    "merge",
    "mode",
    "player",
    "region",
    "replay",
    "restore",
    "run",
    "schema",
    "simulate",
    "sweep",
    "up",
    "writebehind",
}


@pytest.mark.parametrize("name", FUNCTIONS_AND_CLASSES)
def test_a_module_has_the_public_functions_and_classes_that_are_listed(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or {
        member
        for member, value in vars(module).items()
        if not member.startswith("_")
        and (inspect.isfunction(inspect.unwrap(value)) or inspect.isclass(value))
        and value.__module__ == name
    }
    assert set(public) == FUNCTIONS_AND_CLASSES[name]


def test_every_module_is_listed() -> None:
    """But for the commands themselves, whose surface is the command line."""
    found = {
        module.name
        for module in pkgutil.walk_packages(launchday.__path__, "launchday.")
        if not module.ispkg and module.name not in MODULES_OF_COMMANDS
    }
    assert found == {name for name in FUNCTIONS_AND_CLASSES if name not in PACKAGES}


def test_the_package_itself_offers_a_simulation_alone() -> None:
    functions = {name for name, value in vars(launchday).items() if inspect.isfunction(value)}
    assert {name for name in functions if not name.startswith("_")} == {"simulate"}


def test_the_commands_are_those_that_are_listed() -> None:
    assert set(get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    """`launchday.errors` draws it: each class stands below its base."""
    for name in FUNCTIONS_AND_CLASSES:
        importlib.import_module(name)
    drawn: dict[str, str] = {}
    ancestors: list[str] = []
    for line in (inspect.getdoc(importlib.import_module("launchday.errors")) or "").splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ").rstrip()
        if not words.strip() or not words.split()[0].endswith("Error") or len(words) == len(words.lstrip()):
            continue
        depth = (len(words) - len(words.lstrip())) // 4 - 1
        ancestors[depth:] = [words.split()[0]]
        drawn[ancestors[depth]] = ancestors[depth - 1] if depth else "Exception"

    def below(base: type[Exception]) -> set[type[Exception]]:
        return {base}.union(*(below(child) for child in base.__subclasses__()))

    ours = {error for error in below(LaunchdayError) if error.__module__.startswith("launchday.")}
    assert {error.__name__: error.__bases__[0].__name__ for error in ours} == drawn
