"""Players' skills from the meta service; never from the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matchmaker.errors import SkillsUnavailableError
from meta_service.client import MetaClient, MetaClientError


class MetaSkills:
    """Asks the meta service, a batch at a time."""

    def __init__(self, meta: MetaClient) -> None:
        self._meta = meta

    async def skills(self, mode: str, player_ids: Sequence[int]) -> Mapping[int, tuple[float, float]]:
        """Mean and deviation of each player's rating. Raises SkillsUnavailable."""
        try:
            skills = await self._meta.skills(mode, player_ids)
        except MetaClientError as error:
            raise SkillsUnavailableError(str(error)) from error
        return {player_id: (skill.mu, skill.sigma) for player_id, skill in skills.items()}
