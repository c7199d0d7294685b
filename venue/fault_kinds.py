"""The kinds of faults: where each strikes, what it answers, how it spoils a kline."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ANSWERS", "ANSWERS_AFTER", "KINDS", "KLINES", "KLINE_ROWS"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "slow": ("before",),
    "error": ("before",),
    "server_error": ("before",),
    "rate_limit": ("before",),
    "ban": ("before",),
    "maintenance": ("before", "socket"),
    "bad_signature": ("before",),
    "bad_key": ("before",),
    "margin": ("before",),
    "timeout": ("before",),
    "cut": ("before",),
    "late_answer": ("after",),
    "lost_ack": ("after",),
    "timeout_executed": ("after",),
    "refuse": ("accept",),
    "suppress": ("outgoing",),
    "stall": ("outgoing",),
    "delay": ("outgoing",),
    "duplicate": ("outgoing",),
    "reorder": ("outgoing",),
    "kline_zero": ("kline",),
    "kline_outlier": ("kline",),
    "kline_missing": ("kline",),
    "kline_duplicate": ("kline",),
    "kline_out_of_order": ("kline",),
    "kill_before": ("before",),
    "kill_after": ("after",),
    "kill_event": ("outgoing",),
    "skew": (),
}
"""Every kind, and the places at which it is asked (``kline``: events of klines and answers to requests for
them; ``accept``: any new connection; ``socket``: a new websocket)."""

_UNKNOWN = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."

ANSWERS: Mapping[str, tuple[int, int, str, int | None]] = {
    "error": (400, -1000, "An unknown error occurred while processing the request.", None),
    "server_error": (500, -1001, "Internal error; unable to process your request. Please try again.", None),
    "rate_limit": (429, -1003, "Too many requests; current limit of IP is 2400 requests per minute.", 30),
    "ban": (418, -1003, "Way too many requests; IP banned until further notice.", 120),
    "maintenance": (503, -1016, "This service is no longer available.", None),
    "bad_signature": (400, -1022, "Signature for this request is not valid.", None),
    "bad_key": (401, -2015, "Invalid API-key, IP, or permissions for action.", None),
    "margin": (400, -2019, "Margin is insufficient.", None),
    "timeout": (408, -1007, _UNKNOWN, None),
    "cut": (0, 0, "", None),
}
"""Answers in the exchange's place, nothing carried out: HTTP status (0 cuts the line), code, words, seconds to wait."""

ANSWERS_AFTER: Mapping[str, tuple[int, int, str, int | None]] = {
    "lost_ack": (0, 0, "", None),
    "timeout_executed": (408, -1007, _UNKNOWN, None),
}
"""The same for what has been carried out."""


def _zero(kline: dict[str, Any]) -> dict[str, Any]:
    return kline | dict.fromkeys("ohlc", "0.00")


def _outlier(kline: dict[str, Any]) -> dict[str, Any]:
    tenfold = f"{float(kline['c']) * 10:.2f}"
    return kline | {"c": tenfold, "h": tenfold}


KLINES: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"kline_zero": _zero, "kline_outlier": _outlier}
"""What becomes of the ``k`` of a kline event."""


def _row_zero(row: list[Any]) -> list[Any]:
    return [row[0], *["0.00"] * 4, *row[5:]]


def _row_outlier(row: list[Any]) -> list[Any]:
    tenfold = f"{float(row[4]) * 10:.2f}"
    return [*row[:2], tenfold, row[3], tenfold, *row[5:]]


KLINE_ROWS: Mapping[str, Callable[[list[Any], int], list[Any]]] = {
    "kline_zero": lambda rows, i: [*rows[:i], _row_zero(rows[i]), *rows[i + 1 :]],
    "kline_outlier": lambda rows, i: [*rows[:i], _row_outlier(rows[i]), *rows[i + 1 :]],
    "kline_missing": lambda rows, i: [*rows[:i], *rows[i + 1 :]],
    "kline_duplicate": lambda rows, i: [*rows[: i + 1], *rows[i:]],
    "kline_out_of_order": lambda rows, i: [*rows[: max(i - 1, 0)], rows[i], *rows[max(i - 1, 0) : i], *rows[i + 1 :]],
}
"""What becomes of the rows of a request for klines: of the last closed one, row ``i``."""
