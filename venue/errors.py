"""What the exchange answers when it refuses."""

__all__ = ["VenueError"]


class VenueError(Exception):
    """A refusal as Binance words it: HTTP ``status``, ``code`` (negative) and ``msg``."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(f"{code} {msg}")
        self.code, self.msg, self.status = code, msg, status
