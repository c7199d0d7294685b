"""Channels that reach a person, by apprise: e-mail, Telegram, SMS and whatever else it knows, by URL.

::

    AUTOTRADE_ALERT_<NAME>_URL          or ..._URL_FILE; the name is that of the routes, in capitals
    AUTOTRADE_ALERT_HEARTBEAT_URL       an outside watchdog that misses us when we are silent

A URL holds passwords: it is in no log, representation, record or argument of a program, and neither is what a library
says of it: of a failure only its kind is told.
"""

import html
import logging
import re
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import httpx

from adapters.credentials import secrets_named
from core.errors import UsageError

__all__ = ["HEARTBEAT", "Channel", "SecretUrl", "alert_urls", "ping"]

HEARTBEAT = "heartbeat"
_NAME = re.compile(r"AUTOTRADE_ALERT_([A-Z0-9_]+)_URL")
_SPEAKERS = ("apprise", "requests", "urllib3", "httpx", "httpcore", "smtplib")
_MOST_STUCK = 3


class SecretUrl:
    """A URL that is shown nowhere; ``text`` is for whoever connects to it."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"SecretUrl({self.name})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be written anywhere."""
        raise TypeError("the URL of a channel is not pickled")


def alert_urls(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, SecretUrl]:
    """Return the URLs that are given, by the channels' names in lower case.

    Raises
    ------
    UsageError, RefusedError
        Where one is given twice, or in a file that others can read.
    """
    found = secrets_named(_NAME, environ, dotenv)
    names = {variable: str(_NAME.fullmatch(variable)[1]).lower() for variable in found}  # type: ignore[index]
    return {name: SecretUrl(name, found[variable]) for variable, name in names.items()}


class Channel:
    """One way to a person.

    Parameters
    ----------
    url : SecretUrl
        As apprise knows it.
    timeout_seconds : float
        Of one message, whatever the library does meanwhile.
    telegram_url : str
        The Bot API server, for those who run one of their own.

    Raises
    ------
    UsageError
        Where apprise does not know the URL; it is not repeated.
    """

    def __init__(self, url: SecretUrl, *, timeout_seconds: float, telegram_url: str) -> None:
        self.name = url.name
        self._timeout = timeout_seconds
        self._plugin = _plugin(url, timeout_seconds, telegram_url)
        self._stuck: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"Channel({self.name})"

    def send(self, title: str, body: str) -> str:
        """Send a message; return why it was not delivered, in a word or two, or nothing.

        A library that hangs is left behind in its thread; while several of them hang, nothing more is tried.
        """
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= _MOST_STUCK:
            return "it hangs"
        said: list[str] = []
        thread = threading.Thread(target=self._send, args=(title, body, said), name=f"to-{self.name}", daemon=True)
        thread.start()
        thread.join(self._timeout)
        if thread.is_alive():
            self._stuck.append(thread)
            return f"no answer within {self._timeout:g} s"
        return said[0] if said else "failed"

    def _send(self, title: str, body: str, said: list[str]) -> None:
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - loaded with the first channel

        form = NotifyFormat.TEXT
        if _is_telegram(self._plugin):  # it would take what looks like a tag for one, and drop or refuse it
            title, body = html.escape(title, quote=False), html.escape(body, quote=False).replace("\n", "<br/>")
            form = NotifyFormat.HTML
        try:
            done = self._plugin.notify(body=body, title=title, notify_type=NotifyType.WARNING, body_format=form)
        except Exception as error:  # noqa: BLE001 - its words might repeat the URL
            said.append(type(error).__name__)
        else:
            said.append("" if done else "refused, or not reached")


def ping(url: SecretUrl, *, timeout_seconds: float) -> bool:
    """Tell an outside watchdog that we live; return whether it heard."""
    _silence()
    try:
        return httpx.get(url.text, timeout=timeout_seconds).is_success
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return False


def _plugin(url: SecretUrl, timeout_seconds: float, telegram_url: str) -> Any:
    """Return apprise's plugin of a URL, with our time-outs."""
    _silence()
    import apprise  # noqa: PLC0415 - loaded with the first channel

    asset = apprise.AppriseAsset(storage_mode="memory", async_mode=False, secure_logging=True)
    try:
        with warnings.catch_warnings(action="ignore"):  # it imports modules that Python is going to drop
            plugin: Any = apprise.Apprise.instantiate(url.text, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - its words might repeat the URL
        plugin = None
    _silence()
    if plugin is None:
        raise UsageError(
            f"AUTOTRADE_ALERT_{url.name.upper()}_URL is no URL that apprise knows; see docs/alerts.md for its form"
        )
    plugin.socket_connect_timeout = plugin.socket_read_timeout = timeout_seconds / 2.0
    if _is_telegram(plugin):
        plugin.notify_url = f"{telegram_url}/bot"
    return plugin


def _is_telegram(plugin: object) -> bool:
    return type(plugin).__name__ == "NotifyTelegram"


def _silence() -> None:
    """Keep libraries from writing about URLs anywhere."""
    for name in _SPEAKERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
