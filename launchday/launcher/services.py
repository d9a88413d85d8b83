"""Our processes: which there are, where they listen, and which of them the settings replace by yours."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from launchday.identity.of_settings import why_no_keys
from launchday.settings import Settings, env_name, in_url

REACH_S = 3.0


@dataclass(frozen=True)
class Service:
    """One of our processes.

    Attributes:
        name: as it is printed.
        module: runs as ``python -m module``.
        port_setting: the setting that holds its port.
        url_setting: the setting by which others find it; empty where nobody calls it.
        replaced_by: the setting whose address, where it is given, replaces this process: its own, or that of
            the service that it works for.
    """

    name: str
    module: str
    port_setting: str
    url_setting: str = ""
    replaced_by: str = ""

    def given(self, settings: Settings) -> str:
        """Return the address that was given in this process's place; empty where it is to be started."""
        if not self.replaced_by or self.replaced_by not in settings.model_fields_set:
            return ""
        return str(getattr(settings, self.replaced_by))

    def base_url(self, settings: Settings) -> str:
        """Return where it listens once it is started; empty where its port is 0."""
        port = getattr(settings, self.port_setting)
        return f"http://{in_url(settings.bind_host)}:{port}" if port else ""


# In the order of starting; stopped in reverse, so that rewards can take what the game servers sent last.
SERVICES = (
    Service("rewards", "rewards", "rewards_port", "rewards_url", "rewards_url"),
    Service("analytics", "rewards.analytics", "analytics_port"),
    Service("meta service", "meta_service", "meta_port", "meta_url", "meta_url"),
    Service("write-behind", "meta_service.writebehind", "writebehind_port", "", "meta_url"),
    Service("fleet", "dedicated_server.fleet", "fleet_port", "fleet_url", "fleet_url"),
    Service("matchmaker", "matchmaker", "matchmaker_port", "matchmaker_url", "matchmaker_url"),
    Service("director", "matchmaker.director", "director_port", "", "matchmaker_url"),
)


def with_urls(settings: Settings) -> Settings:
    """Return the settings with the addresses of the services that are started."""
    urls = {
        service.url_setting: service.base_url(settings)
        for service in SERVICES
        if service.url_setting and not service.given(settings)
    }
    return settings.model_copy(update=urls)


def why_not_given(settings: Settings) -> str | None:
    """Say why the services and keys that the settings name cannot be used, in one line; None where they can.

    Services must be reached, and a backend of two halves must share its keys.
    """
    if reason := why_no_keys(settings):
        return reason
    for setting in dict.fromkeys(service.replaced_by for service in SERVICES if service.given(settings)):
        url = str(getattr(settings, setting))
        address = urlsplit(url)
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((address.hostname or "", port), timeout=REACH_S).close()
        except OSError as error:
            return f"{url} cannot be reached: {error}: start it, or correct or unset {env_name(setting)}"
        for key in ("identity_secret", "fleet_key"):
            given = getattr(settings, key).get_secret_value()
            if not given and not (key == "identity_secret" and settings.identity_keys):
                return f"{env_name(setting)} names a service of yours: set {env_name(key)} to its key"
    return None
