"""A whole backend starts and stops: what can go wrong before anything runs is one line with what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from launchday.engines import Postgres, Valkey, free_port
from launchday.engines.stack import EngineStack
from launchday.launcher.backend import Backend, BackendError, single_instance
from launchday.launcher.children import ServiceChild
from launchday.launcher.services import SERVICES, why_not_given, with_urls
from launchday.settings import Settings, env_name

CLI = [sys.executable, "-m", "launchday.cli"]


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose services would listen on free ports: another backend may run on this machine."""
    ports = {env_name(each.port_setting): str(free_port()) for each in SERVICES if each.port_setting}
    env = {**os.environ, **ports, **environment}
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, env=env, timeout=50)


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_busy_port_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = cli("run", LAUNCHDAY_META_PORT=str(port), LAUNCHDAY_STATE_DIR=str(tmp_path))
    assert_one_line_error(done, 1, f"port {port}", "LAUNCHDAY_META_PORT")


def test_a_second_run_beside_the_first_is_refused(tmp_path: Path) -> None:
    with single_instance(tmp_path / "run"):
        done = cli("run", LAUNCHDAY_STATE_DIR=str(tmp_path))
    assert_one_line_error(done, 1, "already runs", str(os.getpid()), "LAUNCHDAY_STATE_DIR")


def test_the_lock_is_free_again_after_its_holder_was_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from launchday.launcher.backend import "
            "single_instance\n"
            "with single_instance(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BackendError, match="already runs"), single_instance(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with single_instance(tmp_path):
        pass


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    assert_one_line_error(cli("doctor", LAUNCHDAY_MATCH_S="soon"), 2, "LAUNCHDAY_MATCH_S")


def test_an_unknown_scenario_lists_those_that_are_shipped() -> None:
    assert_one_line_error(cli("run", "--scenario", "tuor"), 2, "tuor", "tour", "smoke")


def test_a_malformed_scenario_is_refused_with_line_and_path(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "name: bad\nplayers: {count: 10, locations: {west-eurpoe: 1.0}}\narrivals: {over_s: -1}\n"
    )
    done = cli("flood", str(file))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{file}:2: players.locations.west-eurpoe" in done.stderr
    assert "west-europe" in done.stderr
    assert f"{file}:3: arrivals.over_s" in done.stderr


def test_a_scenario_too_large_for_one_machine_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = cli("flood", "launch_day", LAUNCHDAY_STATE_DIR=str(tmp_path / "state"))
    assert_one_line_error(done, 2, "1,000,000 players", "simulate")
    assert not (tmp_path / "state").exists()


def test_two_runs_are_compared_and_what_is_no_run_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text('{"scenario": "tour", "players_lost": 1}')
    second.write_text('{"scenario": "tour", "players_lost": 2}')
    done = cli("compare", str(first), str(second), "--report", str(tmp_path / "both.html"))
    assert done.returncode == 0, done.stderr
    assert "players_lost" in done.stdout
    assert "+100.0%" in (tmp_path / "both.html").read_text()
    second.write_text("[]")
    assert_one_line_error(cli("compare", str(first), str(second)), 2, "b.json", "no scenario")


def test_an_engine_that_does_not_start_leaves_no_other_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Valkey] = []
    start = Valkey.start

    def remember(self: Valkey, port: int = 0) -> None:
        start(self, port)
        started.append(self)

    monkeypatch.setattr(Valkey, "start", remember)
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in ("initdb", "postgres"):
        (broken / name).symlink_to("/bin/false")
    monkeypatch.setattr(Postgres, "program", classmethod(lambda cls: broken / "postgres"))
    ports = {service.port_setting: free_port() for service in SERVICES if service.port_setting}
    with pytest.raises(BackendError, match="initdb failed"):
        Backend(Settings(state_dir=tmp_path).model_copy(update=ports)).start()
    assert len(started) == 1
    assert not started[0].answers()


def test_an_address_in_the_settings_replaces_the_embedded_server(
    tmp_path: Path, cache_url: str, store_url: str, kafka_bootstrap: str
) -> None:
    given = Settings(
        state_dir=tmp_path, cache_url=cache_url, store_url=store_url, kafka_bootstrap=kafka_bootstrap
    )
    stack = EngineStack(given)
    completed = stack.start()
    assert stack.servers == {}
    assert completed.cache_url == cache_url
    assert len(completed.fleet_key_bytes) == 32


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("LAUNCHDAY_CACHE_URL", "redis://127.0.0.1:9"),
        ("LAUNCHDAY_STORE_URL", "postgresql://127.0.0.1:9/x"),
        ("LAUNCHDAY_KAFKA_BOOTSTRAP", "127.0.0.1:9"),
    ],
)
def test_a_server_of_yours_that_is_away_is_said_before_anything_starts(
    tmp_path: Path, setting: str, address: str
) -> None:
    done = cli("run", LAUNCHDAY_STATE_DIR=str(tmp_path), **{setting: address})
    assert_one_line_error(done, 1, address, "cannot be reached", setting)
    assert "on port" not in done.stdout


def test_a_region_that_is_not_in_the_table_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = cli("run", LAUNCHDAY_STATE_DIR=str(tmp_path), LAUNCHDAY_REGIONS="west-eurpoe")
    assert_one_line_error(done, 2, "west-eurpoe", "west-europe")
    assert done.stdout == ""


def test_a_service_of_yours_that_is_away_is_said_before_anything_starts(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = cli("up", LAUNCHDAY_STATE_DIR=str(tmp_path), LAUNCHDAY_FLEET_URL=url)
    assert_one_line_error(done, 1, url, "cannot be reached", "LAUNCHDAY_FLEET_URL")
    assert "on port" not in done.stdout


def test_a_service_of_yours_replaces_ours_and_what_works_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        url = f"http://127.0.0.1:{there.getsockname()[1]}"
        given = Settings(matchmaker_url=url)
        started = {service.name for service in SERVICES if not service.given(given)}
        assert {"matchmaker", "director"} == {each.name for each in SERVICES} - started
        completed = with_urls(given)
        assert completed.matchmaker_url == url
        assert completed.meta_url == "http://127.0.0.1:8101"
        said = why_not_given(given)
        assert said is not None
        assert "LAUNCHDAY_IDENTITY_SECRET" in said
        keys = {"identity_secret": SecretStr("s" * 64), "fleet_key": SecretStr("0" * 64)}
        assert why_not_given(given.model_copy(update=keys)) is None
    assert why_not_given(Settings()) is None


def test_the_services_are_started_below_those_who_call_them() -> None:
    order = [service.name for service in SERVICES]
    assert order.index("meta service") < order.index("matchmaker")
    assert order.index("fleet") < order.index("director")


class NeverReady(ServiceChild):
    """A process that is started and answers nobody; each question takes a second of the test's clock."""

    def is_ready(self) -> bool:
        Clocks.now_s += 1.0
        return False


class Clocks:
    """The test's monotonic clock."""

    now_s = 0.0


def test_a_service_that_is_late_is_waited_for_while_kernels_appear_and_then_told_of_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        return min(int(Clocks.now_s / 100), 3)  # a function every 100 s, three in all

    monkeypatch.setattr("launchday.launcher.readiness.kernel_cache.functions_kept", kept)
    monkeypatch.setattr("launchday.launcher.readiness.kernel_cache.parts_being_compiled", list)
    monkeypatch.setattr("launchday.launcher.readiness.time.monotonic", lambda: Clocks.now_s)
    monkeypatch.setattr("launchday.launcher.readiness.time.sleep", lambda _: None)
    monkeypatch.setattr("launchday.launcher.readiness.os.getloadavg", lambda: (99.5, 0.0, 0.0))
    child = NeverReady("fleet", ["true"], tmp_path / "fleet.log", {}, "http://127.0.0.1:1/readyz")
    child.log.write_text("warming up\n")
    backend = Backend(Settings(state_dir=tmp_path))
    backend._services["fleet"] = child
    told: list[str] = []
    with pytest.raises(BackendError) as late:
        backend._await_ready(told.append)
    assert [line.partition(":")[0] for line in told] == ["waiting for the fleet"] + [
        "fleet compiles kernels"
    ] * 3
    assert told[0].endswith("it does not answer yet (for 115 s more at most)")
    assert Clocks.now_s > 480
    for words in (
        "'warming up'",
        "kernels to compile",
        "load 99.5",
        "start again, which goes on",
        "fleet.log",
    ):
        assert words in str(late.value)
