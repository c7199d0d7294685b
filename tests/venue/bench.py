"""An exchange on a test's bench: a clock to turn, prices to set, requests in few words, refusals as codes."""

from decimal import Decimal
from fractions import Fraction

from venue.errors import VenueError
from venue.exchange import Exchange, ExchangeParams, Quote
from venue.public_rest import load_exchange_info

BTC, SOL = "BTCUSDT", "SOLUSDT"
START_MS = 1_700_000_000_000
SPREAD = {BTC: Decimal("0.1"), SOL: Decimal("0.01")}


class Bench:
    def __init__(self, symbols=None, **params):
        self.now = START_MS
        self.real = START_MS + 9_000_000
        self.exchange = Exchange(
            symbols or load_exchange_info()["symbols"],
            ExchangeParams(**params),
            lambda: self.now,
            lambda: self.real,
        )
        self.told = []

    def price(self, price, symbol=BTC, mark=None, size=100.0):
        """Set last price and mark; bid and ask a tick away."""
        self.now += 1_000
        self.real += 10
        price, tick = Decimal(str(price)), SPREAD.get(symbol, Decimal("0.1"))
        mark = price if mark is None else Decimal(str(mark))
        sides = float(price - tick), float(price + tick)
        self.exchange.quote(symbol, Quote(*sides, size, size, float(price), float(mark), self.now))

    def ask(self, method, path, **params):
        written = {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in params.items()
        }
        try:
            return self.exchange.request(method, f"/fapi/{path}", written)
        finally:
            self.told += self.exchange.drain()

    def code(self, method, path, **params):
        """Return the code of the refusal, 0 where there was none."""
        try:
            self.ask(method, path, **params)
        except VenueError as refusal:
            return refusal.code if "{" not in refusal.msg else refusal.msg
        return 0

    def order(self, side, quantity, price=None, tif="GTC", symbol=BTC, **more):
        kind = {"type": "MARKET"} if price is None else {"type": "LIMIT", "price": price, "timeInForce": tif}
        return self.ask("POST", "v1/order", symbol=symbol, side=side, quantity=quantity, **kind, **more)

    def refusal(self, side, quantity, price=None, tif="GTC", symbol=BTC, **more):
        kind = {"type": "MARKET"} if price is None else {"type": "LIMIT", "price": price, "timeInForce": tif}
        return self.code("POST", "v1/order", symbol=symbol, side=side, quantity=quantity, **{**kind, **more})

    def stop(self, side, trigger, kind="STOP_MARKET", symbol=BTC, **more):
        params = {"algoType": "CONDITIONAL", "symbol": symbol, "side": side, "type": kind, "triggerPrice": trigger}
        return self.ask("POST", "v1/algoOrder", **{**params, **more})

    def position(self, symbol=BTC):
        return self.ask("GET", "v2/positionRisk", symbol=symbol)[0]

    def trades(self, symbol=BTC, **params):
        return self.ask("GET", "v1/userTrades", symbol=symbol, **{"limit": 1000, **params})

    def events(self, name):
        """Return the bodies of what the user stream told so far."""
        self.told += self.exchange.drain()
        return [event.get("o", event.get("a", event)) for event in self.told if event["e"] == name]

    def states(self, client_id):
        return [(each["x"], each["X"]) for each in self.events("ORDER_TRADE_UPDATE") if each["c"] == client_id]

    def algo_states(self, client_id):
        return [each["X"] for each in self.events("ALGO_UPDATE") if each["caid"] == client_id]


class SlowLedger:
    """Average cost accounting in fractions, from nothing but trades: the judge of the exchange's money."""

    def __init__(self):
        self.amount = self.entry = self.realized = self.fees = Fraction(0)

    def trade(self, side, price, quantity, fee_rate):
        price, signed = Fraction(price), Fraction(quantity) * (1 if side == "BUY" else -1)
        self.fees += abs(signed) * price * fee_rate
        if self.amount * signed >= 0:
            self.entry = (self.entry * abs(self.amount) + price * abs(signed)) / (abs(self.amount) + abs(signed))
            self.amount += signed
            return
        closed = min(abs(signed), abs(self.amount))
        self.realized += closed * (price - self.entry) * (1 if self.amount > 0 else -1)
        if abs(signed) > abs(self.amount):
            self.entry = price
        self.amount += signed
