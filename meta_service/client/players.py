"""Calls for players: log in, the profile, the loadout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meta_service.client.calls import Calls
from meta_service.messages.players import Loadout, LoadoutChange, Profile
from meta_service.messages.sessions import (
    Account,
    DeviceLogin,
    Ended,
    PasswordChange,
    PasswordLogin,
    RefreshRequest,
    Session,
)


class PlayerCalls(Calls):
    """What a player does with accounts and profiles. One client serves many: the token is an argument."""

    async def login_device(self, device_id: str) -> Session:
        """Log a device's player in; the first login opens the account."""
        return await self.call("POST", "/v1/login/device", Session, None, DeviceLogin(device_id))

    async def login_password(self, name: str, password: str) -> Session:
        """Log in by name and password."""
        return await self.call("POST", "/v1/login/password", Session, None, PasswordLogin(name, password))

    async def refresh(self, refresh_token: str) -> Session:
        """Exchange a refresh token for the next pair of tokens."""
        body = RefreshRequest(refresh_token)
        return await self.call("POST", "/v1/session/refresh", Session, None, body)

    async def log_out(self, session_token: str) -> bool:
        """End the session whose token this is."""
        return (await self.call("DELETE", "/v1/session", Ended, session_token)).ended

    async def set_password(
        self, session_token: str, name: str, password: str, current_password: str | None = None
    ) -> Account:
        """Give the account a name and a password, or change the password."""
        body = PasswordChange(name, password, current_password)
        return await self.call("PUT", "/v1/account/password", Account, session_token, body)

    async def profile(self, session_token: str) -> Profile:
        """Read the profile of the player whose token this is."""
        return await self.call("GET", "/v1/profile", Profile, session_token)

    async def set_loadout(
        self,
        session_token: str,
        skin: str | None = None,
        *,
        emotes: Sequence[str] | None = None,
        settings: Mapping[str, bool | int | float | str] | None = None,
    ) -> Loadout:
        """Change the loadout of the player whose token this is; what is left out stays as it is."""
        change = LoadoutChange(
            skin,
            None if emotes is None else list(emotes),
            None if settings is None else dict(settings),
        )
        return await self.call("PUT", "/v1/profile/loadout", Loadout, session_token, change)
