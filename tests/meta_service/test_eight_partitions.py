"""What holds in a cache of one partition holds in one of eight: tests from all over the service, once more.

All eight are on one Valkey here; `loadtest.bench.engines` has them on a cluster.
"""

from __future__ import annotations

import pytest

from tests.meta_service.cache.test_closed_matches import (
    test_a_match_that_is_closed_by_force_frees_everybody_and_takes_no_result,
)
from tests.meta_service.cache.test_epoch import (
    copy,
    test_what_the_store_has_comes_back_into_an_older_cache,
)
from tests.meta_service.cache.test_leases import (
    test_a_lease_survives_the_loss_of_the_cache,
    test_a_whole_match_is_checked_out_and_committed,
    test_an_expired_lease_is_taken_over_with_a_higher_fence_and_the_old_one_is_stale,
)
from tests.meta_service.domain.test_bans import (
    operator,
    test_the_servers_of_players_matches_are_told_whom_to_kick,
    test_whose_tokens_open_nothing_any_more_is_told_with_the_session_and_the_end,
)
from tests.meta_service.domain.test_erasure import (
    test_of_a_deleted_player_nothing_is_left_but_books_that_still_balance,
)
from tests.meta_service.domain.test_parties import (
    test_a_flood_of_invitations_is_bounded_and_read_in_one_go,
    test_who_queues_with_a_party_is_told_to_whoever_asks_for_skills,
)
from tests.meta_service.domain.test_sessions import (
    test_a_password_login_works_while_the_store_is_away,
)
from tests.meta_service.domain.test_wardrobe import (
    test_what_was_taken_elsewhere_is_taken_off_at_the_next_check_out,
)
from tests.meta_service.writebehind.test_expiry import (
    expiry,
    test_a_player_expires_once_the_store_has_everything_and_not_before,
)
from tests.meta_service.writebehind.test_worker import (
    test_another_worker_takes_over_what_a_dead_one_had_taken,
)

__all__ = [
    "copy",
    "expiry",
    "operator",
    "test_a_flood_of_invitations_is_bounded_and_read_in_one_go",
    "test_a_lease_survives_the_loss_of_the_cache",
    "test_a_match_that_is_closed_by_force_frees_everybody_and_takes_no_result",
    "test_a_password_login_works_while_the_store_is_away",
    "test_a_player_expires_once_the_store_has_everything_and_not_before",
    "test_a_whole_match_is_checked_out_and_committed",
    "test_an_expired_lease_is_taken_over_with_a_higher_fence_and_the_old_one_is_stale",
    "test_another_worker_takes_over_what_a_dead_one_had_taken",
    "test_of_a_deleted_player_nothing_is_left_but_books_that_still_balance",
    "test_the_servers_of_players_matches_are_told_whom_to_kick",
    "test_what_the_store_has_comes_back_into_an_older_cache",
    "test_what_was_taken_elsewhere_is_taken_off_at_the_next_check_out",
    "test_who_queues_with_a_party_is_told_to_whoever_asks_for_skills",
    "test_whose_tokens_open_nothing_any_more_is_told_with_the_session_and_the_end",
]


@pytest.fixture
def partitions() -> int:
    return 8
