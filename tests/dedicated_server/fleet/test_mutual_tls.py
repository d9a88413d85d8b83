"""The fleet behind mutual TLS, as Agones' allocator is: a certificate instead of a token, and no certificate,
no word.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

import pytest

from dedicated_server.fleet.client import (
    AllocatorClient,
    FleetAdminClient,
    FleetRefusedError,
    FleetUnavailableError,
    mutual_tls,
)
from launchday.engines import free_port
from launchday.settings import Settings
from tests.dedicated_server.fleet.conftest import REGION
from tests.dedicated_server.fleet.test_process import launch
from tests.optional import needs

pytestmark = needs("openssl")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


def make_authority(folder: Path, name: str) -> Path:
    """An authority of our own; returns its certificate."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", key, "-out", certificate)  # fmt: skip
    return certificate


def make_certificate(folder: Path, authority: Path, name: str) -> tuple[str, str]:
    """A certificate of an authority for 127.0.0.1, and its key."""
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
    extensions = folder / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)  # fmt: skip
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key"),
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)  # fmt: skip
    return str(certificate), str(key)


async def test_only_who_shows_a_certificate_of_the_authority_is_heard(
    fleet_settings: Settings, tmp_path: Path
) -> None:
    ours, theirs = make_authority(tmp_path, "ours"), make_authority(tmp_path, "theirs")
    certificate, key = make_certificate(tmp_path, ours, "fleet")
    settings = fleet_settings.model_copy(
        update={
            "fleet_port": free_port(),
            "tls_certificate": certificate,
            "tls_key": key,
            "fleet_client_ca": str(ours),
        }
    )
    process = launch(settings)
    url = f"https://127.0.0.1:{settings.fleet_port}"
    known = mutual_tls(str(ours), *make_certificate(tmp_path, ours, "director"))
    stranger = mutual_tls(str(ours), *make_certificate(tmp_path, theirs, "stranger"))
    match = {"match_id": "0190d0a0-0000-7000-8000-000000000003", "mode": "stay"}
    try:
        access = settings.state_dir / "fleet" / "access.json"
        while not access.exists():
            assert process.poll() is None
        async with FleetAdminClient(url, json.loads(access.read_text())["token"], tls=known) as admin:
            while True:
                try:
                    if (await admin.fleet())["total"]["Ready"] == 4:
                        break
                except FleetUnavailableError:
                    continue
        async with AllocatorClient(url, tls=known) as allocator:
            given = await allocator.allocate(region=REGION, match=match, idempotency_key="k")
        assert given.name.startswith(REGION)
        async with FleetAdminClient(url, tls=known) as admin:
            with pytest.raises(FleetRefusedError, match="HTTP 401"):  # the admin API still asks for a token
                await admin.fleet()
        for tls in (stranger, mutual_tls(str(ours))):
            async with AllocatorClient(url, tls=tls) as allocator:
                with pytest.raises(FleetUnavailableError):
                    await allocator.allocate(region=REGION, match=match, idempotency_key="k")
        assert isinstance(known, ssl.SSLContext)
        assert mutual_tls("") is None
    finally:
        process.terminate()
        process.wait()
