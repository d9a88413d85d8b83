"""Parts of a flood: dealt without a gap, written, read with suspicion, and added up to the whole."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.errors import PartError
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts import file as part_file
from loadtest.flood.parts.begin import begin_time
from loadtest.flood.parts.file import PartFile, read_part, write_part
from loadtest.flood.parts.join import gather, join
from loadtest.flood.parts.pack import pack_run
from loadtest.players.player_records import PlayerState
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario
from tests.loadtest.flood.parts.split_run import header_of_part, outcome_of_part, write_parts
from tests.loadtest.sample_run import sample_outcome

NOON = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


@pytest.fixture(scope="module")
def whole() -> RunOutcome:
    return sample_outcome()


@pytest.fixture
def parts(whole: RunOutcome, tmp_path: Path) -> list[Path]:
    return write_parts(whole, 3, tmp_path)


def read_all(paths: list[Path]) -> list[PartFile]:
    return [read_part(path) for path in paths]


@pytest.mark.parametrize("of", [1, 2, 7, 40])
def test_every_player_is_in_one_part_with_all_of_the_party(of: int) -> None:
    scenario = load_scenario(SHIPPED / "rehearsal.yaml")
    players = scenario.players.model_copy(update={"count": 200, "parties": {1: 0.4, 2: 0.3, 3: 0.3}})
    population = draw_population(scenario.model_copy(update={"players": players}))
    members = [Part(number, of).members(population) for number in range(1, of + 1)]
    assert sorted(np.concatenate(members).tolist()) == list(range(200))
    parties = [set(population.party[mine].tolist()) for mine in members]
    assert sum(map(len, parties)) == len(set().union(*parties))
    second = Part(min(2, of), of).players(population)
    assert second.behaviour_seed.tolist() == population.behaviour_seed[members[min(1, of - 1)]].tolist()
    assert second.locations == population.locations


@pytest.mark.parametrize(
    "text", ["", "2", "0/4", "5/4", "1/0", "1/9999", "a/b", "1/4/4", "-1/4", "１/2", " 1/2"]
)
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PartError, match="such as 2/4"):
        Part.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12:00:05", 5.0),
        ("12:01", 60.0),
        ("2026-11-23T13:00:05+01:00", 5.0),
        ("2026-11-23T12:00:05Z", 5.0),
        ("2026-11-23 12:00:05", 5.0),
        ("00:00:10", 43_210.0),
    ],
)
def test_parts_begin_at_a_time_in_utc(text: str, seconds: float) -> None:
    assert begin_time(text, NOON) - NOON == seconds


@pytest.mark.parametrize(
    "text", ["11:59:59", "soon", "25:00", "2026-11-25T12:00:00Z", "9999-99-99", "", "12"]
)
def test_a_time_that_has_passed_or_is_none_is_refused(text: str) -> None:
    with pytest.raises(PartError, match="--begin"):
        begin_time(text, NOON)


def test_parts_added_up_are_the_whole(whole: RunOutcome, parts: list[Path]) -> None:
    joined = join(gather(read_all(parts)))
    for name, column in vars(whole.records).items():
        if isinstance(column, np.ndarray):
            np.testing.assert_array_equal(getattr(joined.records, name), column, err_msg=name)
    assert joined.records.region == whole.records.region
    assert sorted(joined.records.waits) == sorted(whole.records.waits)
    assert joined.timeline.at_s == whole.timeline.at_s
    counts = np.array([joined.timeline.players[state] for state in PlayerState])
    assert counts.sum(axis=0).tolist() == [200] * len(whole.timeline.at_s)
    assert joined.timeline.marks == whole.timeline.marks
    assert joined.timeline.servers.keys() == whole.timeline.servers.keys()
    assert joined.reports == whole.reports
    assert not joined.generator.saturated
    assert joined.wall_s == whole.wall_s


def test_what_was_counted_before_comes_back_from_the_file(whole: RunOutcome, parts: list[Path]) -> None:
    before = read_part(parts[0]).header.before
    assert before == header_of_part(whole, Part(1, 3)).before
    assert before.request_counts.by_service == {"meta": {("POST", "/v1/login"): 7}}


def test_a_part_that_began_late_has_late_players_and_honest_waits(whole: RunOutcome, tmp_path: Path) -> None:
    joined = join(gather(read_all(write_parts(whole, 2, tmp_path, late_s=3.0))))
    assert joined.apart_s == 3.0
    assert np.sort(joined.records.wait_times_s()) == pytest.approx(np.sort(whole.records.wait_times_s()))
    assert joined.generator.saturated
    assert joined.timeline.at_s[0] == 0.0
    assert joined.timeline.at_s[-1] == whole.timeline.at_s[-1] + 3.0


def test_what_is_saturated_in_one_part_is_in_the_whole(whole: RunOutcome, tmp_path: Path) -> None:
    paths = write_parts(whole, 2, tmp_path)
    late = outcome_of_part(sample_outcome(saturated=True), Part(2, 2))
    write_part(paths[1], header_of_part(whole, Part(2, 2)), pack_run(late))
    assert join(gather(read_all(paths))).generator.saturated


def test_a_missing_part_and_one_that_was_killed_are_named(whole: RunOutcome, parts: list[Path]) -> None:
    write_part(parts[1], header_of_part(whole, Part(2, 3)))
    found = gather(read_all(parts[:2]))
    assert found.faults == (
        f"part 2 of 3 ({parts[1]}) has not ended: it was killed, or still plays",
        "part 3 of 3 is missing",
    )
    joined = join(found)
    assert joined.records.count(PlayerState.AWAY) == 200 - len(Part(1, 3).members(joined.population))


def test_parts_that_do_not_belong_together_are_named(whole: RunOutcome, parts: list[Path]) -> None:
    files = read_all(parts)
    with pytest.raises(PartError, match="part 1 of 3 is given twice"):
        gather([files[0], files[1], files[0]])

    def with_header(**changes: object) -> PartFile:
        return PartFile(Path("other.zip"), msgspec.structs.replace(files[1].header, **changes), files[1].run)

    for changes, words in (
        ({"seed": 9}, "seed 7 and 9" if whole.scenario.seed == 7 else "seed"),
        ({"name": "other"}, "scenario tour and other"),
        ({"of": 4}, "number of parts 3 and 4"),
        ({"target": "mine:Target"}, "our own backend and mine:Target"),
        ({"scenario": "{}"}, "their scenario files differ"),
    ):
        with pytest.raises(PartError, match=words):
            gather([files[0], with_header(**changes)])
    with pytest.raises(PartError, match="none of these parts has ended"):
        gather([PartFile(Path("a"), files[0].header)])
    with pytest.raises(PartError, match="its scenario cannot be used here"):
        gather([PartFile(Path("a"), msgspec.structs.replace(files[0].header, scenario="{}"), files[0].run)])
    files[1].header = msgspec.structs.replace(files[1].header, part=3)
    with pytest.raises(PartError, match="has other players than part 3 of 3"):
        join(gather([files[0], files[1]]))


def test_a_scenario_comes_back_from_the_file_as_it_was() -> None:
    for path in sorted(SHIPPED.glob("*.yaml")):
        scenario = load_scenario(path)
        assert Scenario.model_validate_json(scenario.model_dump_json(exclude_unset=True)) == scenario


def planted(content: bytes, name: str = "part.json") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"no zip at all",
        planted(b"{}"),
        planted(b"{}", "other.json"),
        planted(b"[" * 100_000),
        planted(b"\xff\xfe"),
        planted(b" " * 2_000),
    ],
)
def test_a_file_of_another_kind_is_one_line(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_file, "MAX_HEADER_BYTES", 1_000)
    path = tmp_path / "part.zip"
    path.write_bytes(content)
    with pytest.raises(PartError) as caught:
        read_part(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(PartError, match="cannot be read"):
            read_part(path)


@pytest.mark.parametrize("field", ["wall_s", "played_s"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e12])
def test_times_that_are_none_are_damage(whole: RunOutcome, tmp_path: Path, field: str, value: float) -> None:
    run = pack_run(outcome_of_part(whole, Part(1, 2)))
    setattr(run, field, value)
    write_part(tmp_path / "p.zip", header_of_part(whole, Part(1, 2)), run)
    with pytest.raises(PartError, match="damaged: its times are none"):
        read_part(tmp_path / "p.zip")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PartError, match="cannot be read: it is no file"):
        read_part(tmp_path / "pipe")


def test_another_version_is_told(whole: RunOutcome, tmp_path: Path) -> None:
    header = msgspec.structs.replace(header_of_part(whole, Part(1, 2)), version=9)
    write_part(tmp_path / "p.zip", header)
    with pytest.raises(PartError, match="version 9"):
        read_part(tmp_path / "p.zip")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_one_line_or_as_good_as_it_was(parts: list[Path], data: st.DataObject) -> None:
    """Bytes of the packed content are changed, so that the archive's own checks do not see it."""
    with zipfile.ZipFile(parts[0]) as archive:
        content = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(content)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content[name]) - 1))
        content[name][place] = data.draw(st.integers(0, 255))
    path = parts[0].with_name("damaged.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for each, changed in content.items():
            archive.writestr(each, bytes(changed))
    outcome: Callable[[], object] = lambda: join(gather([read_part(path)]))  # noqa: E731
    try:
        outcome()
    except PartError as error:
        assert "\n" not in str(error)  # noqa: PT017
