"""What ``launchday doctor`` says of admission: how many requests of which kind each service takes at once."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from dedicated_server.fleet import admission as fleet
from launchday.resilience.admission import classes as admission_classes
from launchday.resilience.admission.classes import AdmissionClasses
from launchday.settings import Settings
from launchday.terminal import table
from matchmaker.api import admission as matchmaker
from meta_service import admission as meta_service


def admission_rows(settings: Settings) -> list[dict[str, object]]:
    """Return a row for each class of each service: its limit, None where it has none, and what decided it."""
    services: Mapping[str, AdmissionClasses] = {
        "meta service": meta_service.classes(settings),
        "matchmaker": matchmaker.CLASSES,
        "fleet": fleet.CLASSES,
        "rewards": admission_classes.DEFAULT,
    }
    return [
        {
            "service": service,
            "class": kind.name,
            "limit": kind.limit,
            "protects": kind.protects,
            "waits_s": kind.line.age_s,
            "waits_in_overload_s": kind.line.standing_age_s,
            "per_address_s": kind.per_source_s,
        }
        for service, classes in services.items()
        for kind in classes.all
        if kind is not admission_classes.OPERATIONS
    ]


def admission_table(rows: list[dict[str, object]]) -> Table:
    """Return the rows as a table for a terminal."""
    shown = table(
        *("service", "class", "at once", "what decided it", "an address /s"),
        title="Requests that are under way at most",
    )
    for row in rows:
        limit, rate = row["limit"], row["per_address_s"]
        shown.add_row(
            str(row["service"]),
            str(row["class"]),
            "any number" if limit is None else str(limit),
            str(row["protects"]),
            f"{rate:g}" if rate else "",
        )
    return shown
