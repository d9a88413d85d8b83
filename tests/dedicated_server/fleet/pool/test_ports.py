from __future__ import annotations

import pytest

from dedicated_server.fleet.pool.ports import (
    NoFreePortError,
    PortPool,
    open_sidecar_sockets,
    servers_that_fit,
)


def test_a_port_given_back_is_lent_again_last() -> None:
    pool = PortPool([1, 2, 3])
    first = pool.take()
    pool.give_back(first)
    assert [pool.take(), pool.take(), pool.take()] == [2, 3, first]
    with pytest.raises(NoFreePortError):
        pool.take()


def test_sidecar_sockets_have_ports_of_their_own_on_loopback() -> None:
    sockets = open_sidecar_sockets(5)
    try:
        names = [listener.getsockname() for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
    assert {host for host, _ in names} == {"127.0.0.1"}
    assert len({port for _, port in names}) == 5


@pytest.mark.parametrize(
    ("descriptors", "servers"), [(64, 1), (256, 16), (1_024, 160), (8_192, 1_000), (1 << 20, 1_000)]
)
def test_a_fleet_has_no_more_servers_than_its_descriptors_allow(descriptors: int, servers: int) -> None:
    assert servers_that_fit(1_000, descriptors) == servers
