"""The account behind the wire: requests go in, what happened is told to the user stream, all of it is noted."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from venue.clock import Clock
from venue.exchange import Exchange, Quote
from venue.feed import FundingTime
from venue.listen_keys import ListenKeys
from venue.sockets import Subscriptions

__all__ = ["Account"]

_MOST_NOTED = 200_000


class Account:
    """One account, its exchange and its listeners.

    Parameters
    ----------
    exchange : Exchange
        What holds it.
    subscriptions : Subscriptions
        Who hears its events: under their listen keys.
    listen_keys : ListenKeys
        Those keys.
    clock : Clock
        For stamps of what is noted.
    """

    def __init__(self, exchange: Exchange, subscriptions: Subscriptions, listen_keys: ListenKeys, clock: Clock) -> None:
        self.exchange = exchange
        self.listen_keys = listen_keys
        self.noted: deque[dict[str, Any]] = deque(maxlen=_MOST_NOTED)
        """What came over the wire and what was answered, oldest first."""
        self._subscriptions, self._clock = subscriptions, clock
        self._number = 0

    def request(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """Carry out a request; its events wait for `tell`.

        Raises
        ------
        VenueError
            Where the exchange refuses.
        """
        return self.exchange.request(method, path, params)

    def quote(self, symbol: str, quote: Quote) -> None:
        """Let a price work on orders and positions, and tell."""
        self.exchange.quote(symbol, quote)
        self.tell()

    def settle(self, symbol: str, funding: FundingTime, mark: float) -> None:
        """Settle funding, and tell."""
        self.exchange.settle_funding(symbol, funding.rate, mark)
        self.tell()

    def tell(self) -> None:
        """Send what has happened to whoever hears it; a liquidation is told to everybody."""
        for event in self.exchange.drain():
            for listen_key in self.listen_keys.known():
                if self.listen_keys.alive(listen_key):
                    self._subscriptions.publish("user", listen_key, event)
            order = event.get("o")
            if event.get("e") == "ORDER_TRADE_UPDATE" and order and str(order.get("c", "")).startswith("autoclose-"):
                self._tell_liquidation(event)

    def expire(self) -> None:
        """Tell the listeners of a listen key that it has ended, and end it."""
        now = self._clock.market_ms()
        for listen_key in self.listen_keys.ended():
            event = {"e": "listenKeyExpired", "E": now, "listenKey": listen_key}
            self._subscriptions.publish("user", listen_key, event)

    def note(self, by: str, method: str, path: str, params: Mapping[str, str], **answer: Any) -> None:
        """Write down what came over the wire and how it was answered; secrets and signatures are left out."""
        self._number += 1
        kept = {name: value for name, value in params.items() if name not in {"signature", "apiKey"}}
        said = {"by": by, "method": method, "path": path, "params": kept, **answer}
        self.noted.append(
            {"n": self._number, "ts_ms": self._clock.real_ms(), "market_ms": self._clock.market_ms()} | said
        )

    def _tell_liquidation(self, event: Mapping[str, Any]) -> None:
        order = event["o"]
        names = ("s", "S", "o", "f", "q", "p", "ap", "X", "l", "z", "T")
        told = {"e": "forceOrder", "E": event["E"], "o": {name: order[name] for name in names if name in order}}
        for stream in (f"{order['s'].lower()}@forceOrder", "!forceOrder@arr"):
            self._subscriptions.publish("market", stream, told)
