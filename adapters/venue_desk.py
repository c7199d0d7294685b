"""Asks the venue beside the engine, and sends what must close when the engine is not heard: one thread, one queue.

Nothing is concluded from silence. What is to be sent is asked for first: an order whose name the venue knows is never
sent again, and one whose answer was lost is asked for, not repeated.
"""

import itertools
import math
import queue
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, Self

from adapters.binance_refusals import VenueRefusalError
from core.errors import AutotradeError
from core.venue_words import (
    FundingListed,
    FundingWord,
    NoWord,
    OrderWord,
    PositionWord,
    Request,
    Status,
    WalletWord,
    Word,
)

__all__ = ["RestDesk", "wire_name"]

_BROKER = "x-aHRE4BCj-"
"""What the engine puts before every name of an order, so that the venue knows whose program it is."""
_LONGEST_NAME = 36
_CURRENCY = "USDT"
_WALLET = "(wallet)"
"""In the place of an order's name: the balance is asked for."""
_ABSENT = frozenset({-2013, -2011})
_ABSENT_SECONDS = 1.0
"""Between two questions for an order that the venue does not know: its books may be behind each other."""

_STATES: Mapping[str, Status] = {
    "NEW": "working",
    "PARTIALLY_FILLED": "working",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    "REJECTED": "rejected",
    "TRIGGERING": "working",
    "TRIGGERED": "working",
    "FINISHED": "filled",
}


class Requests(Protocol):
    """Signed requests (`adapters.binance_account.BinanceAccount`)."""

    def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1, exits: bool = False
    ) -> Any:
        """Return the JSON of an answer."""


class _Job(NamedTuple):
    """What is to be done: ``rank`` 0 is done first; a question that waits already is not put again.

    ``since_ns`` where funding is asked for.
    """

    rank: int
    number: int
    instrument_id: str
    order_id: str
    request: Request | None
    since_ns: int = 0


def wire_name(order_id: str) -> str:
    """Return the name under which the engine sends an order (`encode_broker_id` of its adapter)."""
    room = _LONGEST_NAME - len(_BROKER)
    return f"{_BROKER}R{order_id}" if len(order_id) < room else order_id


class RestDesk:
    """The venue by REST (`core.venue_words.VenueDesk`).

    Parameters
    ----------
    rest : Requests
        The account; used by the thread alone.
    symbols : Mapping[str, str]
        The venue's name of each instrument.
    """

    def __init__(self, rest: Requests, symbols: Mapping[str, str]) -> None:
        self._rest = rest
        self._symbols = dict(symbols)
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._words: queue.SimpleQueue[Word] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._waiting: set[tuple[str, str]] = set()
        self._sent: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="venue-desk", daemon=True)

    def __enter__(self) -> Self:
        """Begin to work."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Work no more; what is under way is waited for a moment."""
        self._stop.set()
        self._jobs.put(_Job(-1, next(self._numbers), "", "", None))
        self._thread.join(timeout=1.0)

    def ask_order(self, instrument_id: str, order_id: str) -> None:
        """Ask how an order stands."""
        self._ask(1, instrument_id, order_id)

    def ask_positions(self) -> None:
        """Ask what is held of every instrument that is traded."""
        self._ask(2, "", "")

    def ask_balance(self) -> None:
        """Ask what the account holds."""
        self._ask(2, "", _WALLET)

    def ask_funding(self, since_ns: int) -> None:
        """Ask what funding was paid since a time of our own clock; a `FundingListed` ends the answer."""
        self._jobs.put(_Job(2, next(self._numbers), "", "", None, since_ns))

    def send(self, request: Request) -> None:
        """Have an order carried out or cancelled, before all questions."""
        self._jobs.put(_Job(0, next(self._numbers), request.instrument_id, request.order_id, request))

    @property
    def idle(self) -> bool:
        """Whether nothing is asked, and every answer was fetched."""
        return self._jobs.unfinished_tasks == 0 and self._words.empty()

    def words(self) -> Sequence[Word]:
        """Return what was answered since the last call."""
        found = []
        while not self._words.empty():
            found.append(self._words.get())
        return found

    def _ask(self, rank: int, instrument_id: str, order_id: str) -> None:
        if (instrument_id, order_id) not in self._waiting:
            self._waiting.add((instrument_id, order_id))
            self._jobs.put(_Job(rank, next(self._numbers), instrument_id, order_id, None))

    def _run(self) -> None:
        while not self._stop.is_set():
            job = self._jobs.get()
            if job.rank < 0:
                return
            if job.request is None and not job.since_ns:
                self._waiting.discard((job.instrument_id, job.order_id))
            try:
                self._do(job)
            except AutotradeError as error:
                for name in [job.instrument_id] if job.instrument_id else self._symbols:
                    self._words.put(NoWord(name, job.order_id, str(error), 0))
            except (ArithmeticError, KeyError, TypeError, ValueError) as error:
                reason = f"an answer that is none: {type(error).__name__} {error}"
                self._words.put(NoWord(job.instrument_id or next(iter(self._symbols)), job.order_id, reason, 0))
            finally:
                self._jobs.task_done()

    def _do(self, job: _Job) -> None:
        if job.request is not None:
            self._words.put(self._carried_out(job.request))
        elif job.order_id == _WALLET:
            rows = {row["asset"]: row for row in self._rest.request("GET", "/fapi/v2/balance", weight=5)}
            self._words.put(WalletWord("", float(rows[_CURRENCY]["balance"])))
        elif job.order_id:
            self._words.put(self._order(job.instrument_id, job.order_id, exits=False))
        else:
            listed: Sequence[Word] = (*self._paid(job.since_ns), FundingListed()) if job.since_ns else self._positions()
            for word in listed:
                self._words.put(word)

    def _carried_out(self, request: Request) -> OrderWord:
        """Send or cancel, once, and return what became of it."""
        name, order_id = request.instrument_id, request.order_id
        fields = {"symbol": self._symbols[name]}
        if Decimal(request.quantity) == 0:
            self._cancel(fields, wire_name(order_id))
            return self._order(name, order_id, exits=True)
        if order_id in self._sent or self._look(name, order_id, exits=True) is not None:
            return self._order(name, order_id, exits=True)
        self._sent.add(order_id)
        order = fields | {
            "side": "BUY" if request.side > 0 else "SELL",
            "type": "MARKET",
            "quantity": request.quantity,
            "reduceOnly": "true",
            "newClientOrderId": wire_name(order_id),
            "newOrderRespType": "RESULT",
        }
        try:
            self._rest.request("POST", "/fapi/v1/order", order, exits=True)
        except VenueRefusalError:
            return OrderWord(name, order_id, "rejected", "0", 0.0, 0.0, 0)
        return self._order(name, order_id, exits=True)

    def _cancel(self, fields: Mapping[str, str], name: str) -> None:
        """Cancel an order, plain or conditional; that there is none to cancel is no error."""
        ways = (
            ("/fapi/v1/order", {**fields, "origClientOrderId": name}),
            ("/fapi/v1/algoOrder", {"clientAlgoId": name}),
        )
        for path, asked in ways:
            try:
                self._rest.request("DELETE", path, asked, exits=True)
            except VenueRefusalError as error:
                if error.code not in _ABSENT:
                    raise
            else:
                return

    def _order(self, instrument_id: str, order_id: str, *, exits: bool) -> OrderWord:
        """Return how an order stands; it is absent only where it was twice."""
        row = self._look(instrument_id, order_id, exits=exits)
        if row is None and not self._stop.wait(_ABSENT_SECONDS):
            row = self._look(instrument_id, order_id, exits=exits)
        if row is None:
            return OrderWord(instrument_id, order_id, "absent", "0", 0.0, 0.0, 0)
        filled = str(row.get("executedQty", "0"))
        commission = self._commission(row, exits=exits) if Decimal(filled) > 0 else 0.0
        return OrderWord(
            instrument_id,
            order_id,
            _STATES[row["status"]],
            filled,
            float(row.get("avgPrice") or 0.0),
            commission,
            int(row["updateTime"]) * 1_000_000,
        )

    def _look(self, instrument_id: str, order_id: str, *, exits: bool) -> Mapping[str, Any] | None:
        """Return an order's row, plain or conditional, None where the venue knows neither."""
        symbol, name = self._symbols[instrument_id], wire_name(order_id)
        try:
            return dict(
                self._rest.request("GET", "/fapi/v1/order", {"symbol": symbol, "origClientOrderId": name}, exits=exits)
            )
        except VenueRefusalError as error:
            if error.code not in _ABSENT:
                raise
        try:
            algo = self._rest.request("GET", "/fapi/v1/algoOrder", {"clientAlgoId": name}, exits=exits)
        except VenueRefusalError as error:
            if error.code not in _ABSENT:
                raise
            return None
        child = str(algo.get("actualOrderId") or "")
        if child:
            return dict(self._rest.request("GET", "/fapi/v1/order", {"symbol": symbol, "orderId": child}, exits=exits))
        return {"status": algo["algoStatus"], "updateTime": algo.get("updateTime") or algo["createTime"]}

    def _commission(self, row: Mapping[str, Any], *, exits: bool) -> float:
        """Return what an order paid in quote currency, NaN where it paid in something else, or nobody says."""
        trades = self._rest.request(
            "GET",
            "/fapi/v1/userTrades",
            {"symbol": str(row["symbol"]), "orderId": str(row["orderId"])},
            weight=5,
            exits=exits,
        )
        told = sum(Decimal(trade["qty"]) for trade in trades) == Decimal(row["executedQty"])
        if not told or any(trade["commissionAsset"] != _CURRENCY for trade in trades):
            return math.nan
        return float(sum(Decimal(trade["commission"]) for trade in trades))

    def _paid(self, since_ns: int) -> list[FundingWord]:
        """Return the payments of funding of the instruments that are traded."""
        wanted = {"incomeType": "FUNDING_FEE", "startTime": str(since_ns // 1_000_000), "limit": "1000"}
        names = {symbol: name for name, symbol in self._symbols.items()}
        return [
            FundingWord(names[row["symbol"]], str(row["tranId"]), str(row["income"]), int(row["time"]) * 1_000_000)
            for row in self._rest.request("GET", "/fapi/v1/income", wanted, weight=30)
            if row["symbol"] in names
        ]

    def _positions(self) -> list[PositionWord]:
        rows = self._rest.request("GET", "/fapi/v2/positionRisk", weight=5)
        found = {row["symbol"]: row for row in rows if row.get("positionSide", "BOTH") == "BOTH"}
        return [
            PositionWord(
                name,
                str(found[symbol]["positionAmt"]) if symbol in found else "0",
                float(found[symbol]["entryPrice"]) if symbol in found else 0.0,
                int(found[symbol].get("updateTime") or 0) * 1_000_000 if symbol in found else 0,
            )
            for name, symbol in self._symbols.items()
        ]
