"""Calls for players: log in, the profile, the loadout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meta_service.client.calls import Calls
from meta_service.messages.accounts import (
    AccountExport,
    Deletion,
    DeviceLinkRequest,
    DisplayName,
    LinkedLogins,
    NameChange,
    PlatformLinkRequest,
    PlatformLogin,
)
from meta_service.messages.players import Loadout, LoadoutChange, Profile
from meta_service.messages.progress import Progress
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

    async def login_platform(self, issuer: str, token: str, nonce: str | None = None) -> Session:
        """Log in by a platform's ID token; the first login opens the account."""
        body = PlatformLogin(issuer, token, nonce)
        return await self.call("POST", "/v1/login/platform", Session, None, body)

    async def logins(self, session_token: str) -> LinkedLogins:
        """List the ways to log in to the account."""
        return await self.call("GET", "/v1/account/logins", LinkedLogins, session_token)

    async def link_device(self, session_token: str, device_id: str, *, take: bool = False) -> LinkedLogins:
        """Let another device log in to the account; ``take``: also where it opens another one."""
        body = DeviceLinkRequest(device_id, take)
        return await self.call("POST", "/v1/account/logins/devices", LinkedLogins, session_token, body)

    async def link_platform(
        self, session_token: str, issuer: str, token: str, nonce: str | None = None, *, take: bool = False
    ) -> LinkedLogins:
        """Let a platform's identity log in to the account; ``take``: also where it opens another one."""
        body = PlatformLinkRequest(issuer, token, nonce, take)
        return await self.call("POST", "/v1/account/logins/platforms", LinkedLogins, session_token, body)

    async def unlink(self, session_token: str, login: str) -> LinkedLogins:
        """End a way to log in, named as `logins` names it."""
        return await self.call("DELETE", f"/v1/account/logins/{login}", LinkedLogins, session_token)

    async def set_name(self, session_token: str, display_name: str) -> DisplayName:
        """Choose the display name."""
        body = NameChange(display_name)
        return await self.call("PUT", "/v1/profile/name", DisplayName, session_token, body)

    async def export_account(self, session_token: str) -> AccountExport:
        """Read everything that is held about the player."""
        return await self.call("GET", "/v1/account/export", AccountExport, session_token)

    async def delete_account(self, session_token: str) -> Deletion:
        """Delete the account, for good."""
        return await self.call("DELETE", "/v1/account", Deletion, session_token)

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

    async def progress(self, session_token: str) -> Progress:
        """Read the level, the season pass and the challenges."""
        return await self.call("GET", "/v1/progress", Progress, session_token)

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
