from __future__ import annotations

import io

from launchday.cli.doctor_admission import admission_rows, admission_table
from launchday.settings import Settings
from launchday.terminal import Terminal


def test_doctor_shows_how_many_requests_each_service_takes_at_once() -> None:
    rows = {(row["service"], row["class"]): row for row in admission_rows(Settings(hashing_processes=2))}
    assert rows["meta service", "passwords"]["limit"] == 20
    assert rows["matchmaker", "waiting"]["limit"] is None
    assert rows["meta service", "logins"]["per_address_s"] == Settings().logins_per_address_s
    shown = io.StringIO()
    Terminal(file=shown, width=160).print(admission_table(list(rows.values())))
    assert "the store's 8 connections" in shown.getvalue()
    assert "any number" in shown.getvalue()
