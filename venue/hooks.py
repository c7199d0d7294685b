"""Where faults can enter the server: what it asks before it answers, sends or accepts."""

from typing import Any, NamedTuple, Protocol

__all__ = ["Answer", "Call", "Hooks"]


class Call(NamedTuple):
    """A request: by ``rest`` or by the ``trading`` websocket, with its method, path and parameters."""

    by: str
    method: str
    path: str
    params: dict[str, str]


class Answer(NamedTuple):
    """An answer in the place of the exchange's: an HTTP status, headers and a body; status 0 cuts the connection."""

    status: int
    headers: dict[str, str]
    body: Any


class Hooks(Protocol):
    """What may go wrong, asked at each place at which it could."""

    async def before(self, call: Call) -> Answer | None:
        """Wait, or answer in the exchange's place; None lets it answer."""

    async def after(self, call: Call, body: Any) -> Answer | None:
        """Change or lose an answer to what has been carried out already; None sends it."""

    def outgoing(self, channel: str, event: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
        """Return what is sent for an event of ``user`` or ``market``: seconds to wait and the event, any number."""

    def accepts(self, channel: str) -> bool:
        """Whether a new connection to ``rest``, ``user``, ``market`` or ``trading`` is taken."""

    def clock_skew_ms(self) -> int:
        """Milliseconds by which the exchange's clock is ahead."""
