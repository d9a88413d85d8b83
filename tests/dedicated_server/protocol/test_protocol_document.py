from __future__ import annotations

import re

import pytest

from dedicated_server.protocol import connect_token, datagrams, document
from tests.dedicated_server.protocol.entity_oracle import Record
from tests.dedicated_server.protocol.oracle import OracleClient, read_message, unseal


def test_the_documents_tables_and_vectors_are_those_of_the_code() -> None:
    text = document.DOCUMENT.read_text()
    assert document.render(text) == text
    assert document.VECTORS.read_text() == document.vectors_json()


def test_every_generated_section_is_in_the_document_once() -> None:
    named = re.findall(r"<!-- generated: ([\w-]+) -->", document.DOCUMENT.read_text())
    assert sorted(named) == sorted(document.sections())


def test_the_document_explains_the_reasons_to_drop_in_the_order_in_which_the_code_checks() -> None:
    text = document.DOCUMENT.read_text()
    checks = text[text.index("## What the server checks") : text.index("All reasons:")]
    first_use: list[str] = []
    for name in re.findall(r"`(\w+)`", checks):
        if name not in first_use:
            first_use.append(name)
    assert first_use == list(datagrams.DROP_REASONS)


@pytest.mark.parametrize("name", list(connect_token.CIPHERS.values()))
def test_a_stranger_with_the_document_follows_the_vectors(name: str) -> None:
    made = {
        key.removeprefix(f"{name}, "): value
        for key, value in document.vectors().items()
        if key.startswith(name)
    }
    client = OracleClient(made["connect token"])
    assert client.request() == made["request"]
    assert client.respond(made["challenge"]) == made["response"]
    first = client.open(made["snapshot, whole records"])
    assert first is not None
    assert first.tick == 2
    assert first.full == {0, 1, 2}
    said = unseal(client.cipher, client.send_key, made["inputs"])
    assert said is not None
    ack_tick, _, _, input_tick, inputs = read_message(said)
    assert (ack_tick, input_tick) == (2, 1)
    assert (inputs[0].move_x, inputs[0].move_y, inputs[0].yaw, inputs[0].buttons) == (100, -50, 16_384, 1)
    second = client.open(made["snapshot, differences"])
    assert second is not None
    assert (second.tick, second.full, second.input_newest) == (3, set(), 1)
    assert second.records[1] == Record((1024 + 10) * 64 + 15, (1024 - 20) * 64, 163, 100, 1)
