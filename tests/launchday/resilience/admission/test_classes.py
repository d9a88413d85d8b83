from __future__ import annotations

import pytest

from dedicated_server.fleet import admission as fleet
from launchday.resilience.admission.classes import AdmissionClass, AdmissionClasses
from launchday.settings import Settings
from matchmaker.api import admission as matchmaker
from meta_service import admission as meta_service

TICKET = "0f8e2d6c-4a1b-4c3d-9e5f-6a7b8c9d0e1f"


def class_of(classes: AdmissionClasses, line: str) -> str:
    return classes.all[classes.number_of(f"{line} HTTP/1.1\r\nhost: test\r\n\r\n".encode())].name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GET /healthz", "operations"),
        ("GET /readyz", "operations"),
        ("GET /metrics", "operations"),
        ("POST /healthz", "players"),
        ("POST /v1/tickets", "tickets"),
        ("POST /v1/ticket%73", "tickets"),
        ("POST http://matchmaker/v1/tickets", "tickets"),
        ("GET /v1/tickets", "players"),
        (f"GET /v1/tickets/{TICKET}", "players"),
        (f"DELETE /v1/tickets/{TICKET}", "players"),
        (f"GET /v1/tickets/{TICKET}?wait_s=30", "waiting"),
        (f"GET /v1/tickets/{TICKET}?lost=1&wait_s=30", "waiting"),
        (f"GET /v1/tickets/{TICKET}?wait%5Fs=30", "waiting"),
        (f"GET /v1/tickets/{TICKET}/events", "waiting"),
        ("POST /v1/internal/tickets", "services"),
    ],
)
def test_the_matchmaker_tells_its_requests_apart(line: str, name: str) -> None:
    assert class_of(matchmaker.CLASSES, line) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("POST /gameserverallocation", "allocations"),
        ("GET /v1/events", "waiting"),
        ("GET /v1/changes?since=4&wait_s=20", "waiting"),
        ("GET /v1/changes?since=4", "admin"),
        ("GET /v1/gameservers", "admin"),
    ],
)
def test_the_fleet_tells_its_requests_apart(line: str, name: str) -> None:
    assert class_of(fleet.CLASSES, line) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("POST /v1/login/device", "logins"),
        ("POST /v1/session/refresh", "logins"),
        ("POST /v1/login/password", "passwords"),
        ("POST /v1/login/password/", "passwords"),
        ("PUT /v1/account/password", "passwords"),
        ("POST /v1/store/purchases", "money"),
        ("GET /v1/wallet", "money"),
        ("GET /v1/wallet/entries?limit=3", "money"),
        ("GET /v1/walletry", "players"),
        ("POST /v1/internal/grants", "money"),
        ("POST /v1/internal/checkouts", "services"),
        ("GET /v1/profile", "players"),
    ],
)
def test_the_meta_service_tells_its_requests_apart(line: str, name: str) -> None:
    assert class_of(meta_service.classes(Settings()), line) == name


def test_the_class_of_a_line_is_remembered_but_not_of_endless_ones() -> None:
    classes = AdmissionClasses(AdmissionClass("rest", 1, "a test"))
    for number in range(10_000):
        class_of(classes, f"GET /{number}")
    class_of(classes, "GET /" + "x" * 1000)
    assert 0 < len(classes._known) <= 4096
    assert max(map(len, classes._known)) <= 128


def test_the_last_class_alone_has_no_routes() -> None:
    rest = AdmissionClass("rest", 1, "a test")
    routed = AdmissionClass("routed", 1, "a test", ("GET /a",))
    for wrong in ((), (routed,), (rest, rest)):
        with pytest.raises(ValueError, match="no routes"):
            AdmissionClasses(*wrong)
