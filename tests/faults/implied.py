"""What a venue's ledger implies for who trades there: entries, trades, equity, bareness; nothing of `core` is used.

The rows are those of `/control/ledger`. Money is exact. What an order is for stands in its name, which ends in the time
of its making in base 36 and a letter: N and A open and add, S protects, R and X take away.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = ["Anchors", "Bare", "Implied", "Mark", "anchors", "bareness", "implied", "marks", "sent_twice"]

ENGINE_MARK = "x-aHRE4BCj-R"
"""What the engine puts before our names of orders."""
MINUTE_MS, DAY_MS = 60_000, 86_400_000
PLACING = {"/fapi/v1/order", "/fapi/v1/algoOrder"}
_NAME = re.compile(r".*-(?P<made>[0-9A-Z]+)-(?P<mark>[NARXS])\d+(-E\d+)?")

Row = Mapping[str, Any]


class Trade(NamedTuple):
    """From flat to flat: profit less commissions, and whether a stop ended it."""

    profit: Decimal
    stopped: bool


class Implied(NamedTuple):
    """``entries``: closes (ms) of the bars on which an increase was decided that filled or still may; ``trades``."""

    entries: tuple[int, ...]
    trades: tuple[Trade, ...]
    realised: Decimal

    def entries_24h(self, now_ms: int) -> int:
        """Return the entries of the last 24 hours."""
        return sum(now_ms - DAY_MS < each <= now_ms for each in self.entries)

    def entries_today(self, now_ms: int) -> int:
        """Return the entries of the UTC day; a close at midnight belongs to the day that it ends."""
        return sum(_day(each) == _day(now_ms) for each in self.entries)

    @property
    def loss_streak(self) -> int:
        """The last trades in a row that lost."""
        streak = 0
        for trade in self.trades:
            streak = 0 if trade.profit >= 0 else streak + 1
        return streak

    @property
    def stops(self) -> int:
        """How many trades a stop ended."""
        return sum(trade.stopped for trade in self.trades)


class Mark(NamedTuple):
    """Equity at a close: as it was, and as it was a moment later, after what the next open filled."""

    close_ms: int
    lowest: float
    highest: float


class Anchors(NamedTuple):
    """Between which equities the high-water mark of each UTC day and the last equity must lie."""

    highs: Mapping[int, tuple[float, float]]
    last: tuple[float, float]

    def high(self, day: int) -> tuple[float, float]:
        """Return the bounds of a day's high-water mark; one without a mark has but been opened."""
        return self.highs.get(day, self.last)


class Bare(NamedTuple):
    """How long the worst stretch lasted in which more was held than stops covered: real and market ms."""

    real_ms: int
    market_ms: int


def implied(rows: Iterable[Row], interval_ms: int) -> Implied:
    """Return what the fills of a ledger mean for who decides every ``interval_ms``."""
    rows = list(rows)
    filled = {row["client_order_id"] for row in rows if row["kind"] == "fill"}
    living: dict[str, bool] = {}
    for row in rows:
        if row["kind"] == "order":
            living[row["client_order_id"]] = row["status"] in {"NEW", "PARTIALLY_FILLED"}
    names = {_parent(name) for name in (*living, *filled) if name in filled or living.get(name)}
    increases = [made_ms for made_ms, mark in map(_read, names) if mark in "NA"]
    entries = tuple(sorted(made_ms // interval_ms * interval_ms for made_ms in increases))
    trades, realised = [], Decimal(0)
    profit = Decimal(0)
    for row in rows:
        if row["kind"] != "fill":
            continue
        gained = Decimal(row["realized"]) - Decimal(row["commission"])
        realised, profit = realised + gained, profit + gained
        if Decimal(row["position"]) == 0:
            trades.append(Trade(profit, _read(row["client_order_id"])[1] == "S"))
            profit = Decimal(0)
    return Implied(entries, tuple(trades), realised)


def marks(rows: Sequence[Row], closes: Mapping[int, float], balance: Decimal) -> list[Mark]:
    """Return the equity at closes: time (ms) and price of each; ``balance`` at the start."""
    wallet, held, cost, at = balance, Decimal(0), Decimal(0), 0
    found = []

    def equity(price: Decimal) -> float:
        return float(wallet + held * price - cost)

    for close_ms, price in sorted(closes.items()):
        values = []
        for until_ms in (close_ms, close_ms + 1):
            while at < len(rows) and rows[at]["time_ms"] <= until_ms:
                row, at = rows[at], at + 1
                if row["kind"] == "fill":
                    after = Decimal(row["position"])
                    quantity = Decimal(row["quantity"]) * (1 if row["side"] == "BUY" else -1)
                    if abs(after) > abs(held):
                        cost += quantity * Decimal(row["price"])
                    elif held:
                        cost *= after / held
                    held = after
                if "wallet" in row:
                    wallet = Decimal(row["wallet"])
            values.append(equity(Decimal(repr(price))))
        found.append(Mark(close_ms, min(values), max(values)))
    return found


def anchors(marked: Iterable[tuple[Mark, bool]]) -> Anchors:
    """Return what drawdowns are measured against; with each mark, whether it is certain that it was made and kept.

    A day opens with the last equity of the day before.
    """
    highs: dict[int, tuple[float, float]] = {}
    last = (0.0, 0.0)
    for mark, certain in marked:
        low, high = highs.setdefault(_day(mark.close_ms), last)
        if certain:
            low, last = max(low, mark.lowest), (mark.lowest, mark.highest)
        else:
            last = (min(last[0], mark.lowest), max(last[1], mark.highest))
        highs[_day(mark.close_ms)] = (low, max(high, mark.highest))
    return Anchors(highs, last)


def bareness(rows: Iterable[Row]) -> Bare:
    """Return how long positions were held without stops of their size that close them."""
    held, stops = Decimal(0), {}
    since: tuple[int, int] | None = None
    worst = Bare(0, 0)
    for row in rows:
        if row["kind"] == "fill":
            held = Decimal(row["position"])
        elif row["kind"] == "algo":
            stops.pop(row["algo_id"], None)
            if row["status"] == "NEW":
                stops[row["algo_id"]] = (row["side"], Decimal(row["quantity"]))
        else:
            continue
        side = "SELL" if held > 0 else "BUY"
        covered = sum((quantity for way, quantity in stops.values() if way == side), Decimal(0))
        if since is not None:
            lasted = (row["real_ms"] - since[0], row["time_ms"] - since[1])
            worst = Bare(max(worst.real_ms, lasted[0]), max(worst.market_ms, lasted[1]))
        if covered >= abs(held):
            since = None
        elif since is None:
            since = (row["real_ms"], row["time_ms"])
    return worst


def sent_twice(rows: Iterable[Row], interval_ms: int) -> list[str]:
    """Return what was sent more than once, is not ours, or was opened twice on one decision."""
    rows = list(rows)
    placed = Counter(
        str(row["params"].get("newClientOrderId") or row["params"].get("clientAlgoId"))
        for row in rows
        if row["kind"] == "request" and row["method"] == "POST" and row["path"] in PLACING
    )
    found = [f"{name} was sent {count} times" for name, count in placed.items() if count > 1]
    found += [f"{name} is not ours" for name in placed if not name.startswith(ENGINE_MARK)]
    decisions = Counter(implied(rows, interval_ms).entries)
    found += [f"{count} entries on the close of {close}" for close, count in decisions.items() if count > 1]
    return found


def _read(name: str) -> tuple[int, str]:
    """Return when an order was made (ms), and its letter."""
    parts = _NAME.fullmatch(name)
    return (int(parts["made"], 36) // 1_000_000, parts["mark"]) if parts else (0, "?")


def _parent(name: str) -> str:
    return re.sub(r"-E\d+$", "", name)


def _day(close_ms: int) -> int:
    return (close_ms - 1) // DAY_MS
