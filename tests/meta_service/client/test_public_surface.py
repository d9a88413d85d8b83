"""What other packages may import of the meta service."""

from __future__ import annotations

import subprocess
import sys

from meta_service import client

PUBLIC = """
Account AccountExport Ban BannedPlayer CatalogueItem ChallengeProgress CheckedOut CheckoutRefusal
CheckoutResponse CommitRefusal CommitResponse Deletion DisplayName Friend GivenCache Grant Held
Invitation Kick Kicked Kicks Leaderboard LeaveResponse LedgerEntry LinkedLogin LinkedLogins Loadout
MatchReport MetaClient MetaClientError MetaCounters MetaRefusedError MetaUnavailableError OperatorAction
OwnedItem
Party PartyChange PartyChanges PartyClaim PartyMember PartyQueue PastMatch PlayerCommit PlayerStatus
Profile Progress ProgressCache Purchase RatingCache Refund Revocation Revocations SeasonProgress Session
SessionEnd SessionEnds Skill Skills Standing TierProgress read_claim
"""
CALLS = """
accept_friendship accept_party audit ban block blocks call catalogue check_out close close_match commit
counters create_party debit_money decline_party delete_account delete_player end_friendship export_account
export_player friends give_items grant grant_money inventory invite_to_party kick kick_from_party kicks
leaderboard leaderboard_around_me leave_party lift_ban link_device link_platform log_out login_device
login_password login_platform logins match matches my_party party party_changes party_invitations player
player_statement profile progress promote_in_party purchase queue_party refresh refund refund_for_player
rejected_changes reload_catalogue request_friendship resend_changes revocations revoke session_ends
set_loadout set_name set_password set_presence set_ready skills statement take_items token unblock unlink
unqueue_party wallet
"""


def test_the_client_publishes_these_names() -> None:
    assert sorted(client.__all__) == sorted(PUBLIC.split())
    assert all(hasattr(client, name) for name in client.__all__)


def test_the_client_has_these_calls() -> None:
    assert sorted(name for name in dir(client.MetaClient) if not name.startswith("_")) == sorted(
        CALLS.split()
    )


def test_whoever_imports_the_client_loads_no_service() -> None:
    """A game server imports it at its start."""
    code = (
        "import sys, meta_service.client\n"
        "print([name for name in sys.modules"
        " if name in ('asyncpg', 'fastapi', 'sqlalchemy') or name.startswith('meta_service.domain')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
