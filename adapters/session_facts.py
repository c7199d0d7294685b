"""What the folders of recorded sessions show to the gate (`core.promotion_gate.SessionFacts`)."""

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapters.session_log import SessionLog
from core.promotion_gate import AlertRow, BreakerRow, SessionFacts

__all__ = ["facts_of", "session_folders"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def session_folders(place: Path, environment: str) -> list[Path]:
    """Return the folders of an environment's sessions, the oldest first."""
    return sorted(path.parent.parent for path in place.glob(f"*-{environment}-*/record/00000001.log"))


def facts_of(folder: Path) -> SessionFacts:
    """Return what a session shows, but for its parity: that takes longer.

    Raises
    ------
    DataError
        Where the record is damaged.
    """
    log = SessionLog(folder)
    begun: list[dict[str, Any]] = []
    decisions: dict[str, list[int]] = {}
    stops: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    stopped: set[str] = set()
    breaker: list[BreakerRow] = []
    alerts: list[AlertRow] = []
    for row in log.rows():
        body = row.body
        if row.source == "received":
            if row.kind == "start":
                begun.append(body)
            continue
        match row.kind:
            case "decisions":
                decisions.setdefault(body["instrument_id"], []).append(body["ts_event"])
            case "orders" if body["purpose"] == "stop" and body["status"] == "submitted":
                stops[body["instrument_id"]] += 1
            case "fills" if body["purpose"] == "stop" and body["client_order_id"] not in stopped:
                stopped.add(body["client_order_id"])
                filled[body["instrument_id"]] += 1
            case "breaker":
                breaker.append(BreakerRow(**{name: body[name] for name in BreakerRow.__struct_fields__}))
            case "alerts":
                alerts.append(AlertRow(**{name: body[name] for name in AlertRow.__struct_fields__}))
    settings = [start["config"] for start in begun]
    return SessionFacts(
        name=folder.name,
        environment=settings[0]["environment"] if settings else "",
        stand_in=any(_is_stand_in(config) for config in settings),
        models=frozenset(sha256 for start in begun for told in start["models"].values() for _, sha256, *_ in told),
        decisions=decisions,
        stops=stops,
        stops_filled=filled,
        breaker=breaker,
        alerts=alerts,
        parity=None,
    )


def _is_stand_in(config: dict[str, Any]) -> bool:
    """Return whether a session's venue was none of the exchange's."""
    return config["venue"]["replay"] or urlsplit(config["venue"]["http_url"]).hostname in _LOOPBACK
