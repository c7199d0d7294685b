"""The wish that a node ends."""

__all__ = ["StopRequest"]


class StopRequest:
    """The wish that a node ends; may be uttered by any thread or signal.

    Attributes
    ----------
    reason : str
        Who wishes it, empty where nobody does.
    flatten : bool or None
        Whether positions are closed first; None: as the configuration says.
    carried_out : str
        The reason of a wish that was carried out.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.flatten: bool | None = None
        self.carried_out = ""

    def ask(self, reason: str, *, flatten: bool | None = None) -> None:
        """Wish it; the first reason stands."""
        if flatten is not None:
            self.flatten = flatten
        self.reason = self.reason or reason
