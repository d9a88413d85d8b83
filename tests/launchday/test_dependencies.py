from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import SecretStr

from dedicated_server.fleet.app import create_fleet
from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.api.app import create_api
from meta_service.app import build
from rewards import app as rewards
from rewards.progression import rules


def applications() -> Iterator[FastAPI]:
    own = Settings(
        identity_secret=SecretStr("0" * 32),
        fleet_key=SecretStr("ab" * 32),
        cache_url="redis://127.0.0.1:1",
        store_url="postgresql://127.0.0.1:1/none",
        kafka_bootstrap="127.0.0.1:1",
    )
    yield build(own)
    yield create_api(own, SystemClock())
    yield create_fleet(own)
    yield rewards.build(own, rules.load(), SystemClock())


def calls_of(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from calls_of(each)


def test_no_route_and_no_dependency_of_one_runs_in_a_thread() -> None:
    # A hop to a thread and back costs a request 85 to 240 µs: more than a whole ticket.
    threaded = []
    for app in applications():
        for route in app.routes:
            if isinstance(route, APIRoute):
                for call in calls_of(route.dependant):
                    function = call if inspect.isroutine(call) else getattr(call, "__call__", call)  # noqa: B004
                    if call is not None and not inspect.iscoroutinefunction(
                        inspect.unwrap(cast(Callable[..., object], function))
                    ):
                        threaded.append(f"{app.title} {route.path}: {call}")
    assert threaded == []
