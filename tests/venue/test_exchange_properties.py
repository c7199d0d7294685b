"""Whatever is asked of the stand-in exchange, in whatever order: money, positions and orders stay true."""

from collections import defaultdict
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.venue.bench import BTC, SOL, Bench, SlowLedger
from venue.algo_orders import ALGO_TRANSITIONS
from venue.amounts import down
from venue.errors import VenueError
from venue.orders import LIVE, TRANSITIONS

TAKER, MAKER = Fraction("0.0005"), Fraction("0.0002")
HALF_A_UNIT = Fraction(1, 2 * 10**8)
LOT, TICK = {BTC: Decimal("0.001"), SOL: Decimal(1)}, {BTC: Decimal("0.1"), SOL: Decimal("0.01")}

symbols = st.sampled_from([BTC, SOL])
sides = st.sampled_from(["BUY", "SELL"])
names = st.sampled_from(["", "", "a", "b", "c", "d"])
moves = st.sampled_from([-0.02, -0.004, -0.0002, 0.0, 0.0002, 0.004, 0.02])
strides = st.lists(st.sampled_from([-0.06, -0.02, -0.004, 0.004, 0.02, 0.06]), min_size=1, max_size=6)
sizes = st.floats(90, 30_000)
chances = st.integers(0, 5)


class Account(RuleBasedStateMachine):
    """One account, two symbols, and an own count of everything that the wire tells."""

    @initialize(share=st.sampled_from([1.0, 0.02]), leverage=st.sampled_from([1, 5, 20, 125]), isolated=st.booleans())
    def begin(self, share, leverage, isolated):
        self.bench = Bench(fill_share=share, balance=20_000.0)
        self.at = {BTC: Decimal(40_000), SOL: Decimal(100)}
        self.seen = self.trades_seen = self.incomes_seen = 0
        self.slow = {BTC: SlowLedger(), SOL: SlowLedger()}
        self.cash = self.other = self.fees = Decimal(0)
        self.states, self.algo_states = {}, {}
        self.filled, self.quantity = defaultdict(Decimal), {}
        for symbol in (BTC, SOL):
            self.bench.price(self.at[symbol], symbol)
            if isolated:
                self.bench.ask("POST", "v1/marginType", symbol=symbol, marginType="ISOLATED")
            self.bench.ask("POST", "v1/leverage", symbol=symbol, leverage=leverage)
        self.bench.order("BUY", self.sized(BTC, 5_000))
        self.bench.order("SELL", self.sized(SOL, 5_000), symbol=SOL)

    def closing(self, symbol, side, chance):
        """Return the side that closes what is held, but for once in a while."""
        held = self.slow[symbol].amount
        return side if chance == 0 or not held else ("SELL" if held > 0 else "BUY")

    def attempt(self, method, path, **params):
        code = self.bench.code(method, path, **{name: value for name, value in params.items() if value != ""})
        assert code == 0 or -5050 < code < -1000

    def sized(self, symbol, notional):
        return max(LOT[symbol], down(Decimal(notional) / self.at[symbol], LOT[symbol]))

    def near(self, symbol, move):
        return (self.at[symbol] * (1 + Decimal(str(move))) / TICK[symbol]).quantize(Decimal(1)) * TICK[symbol]

    def picked(self, path, key, chance):
        """Return the name of something that lives, or of nothing."""
        live = [row[key] for row in self.bench.ask("GET", path)]
        return live[chance % len(live)] if live else "nothing"

    @rule(symbol=symbols, strides=strides, gap=moves)
    def market_moves(self, symbol, strides, gap):
        for move in strides:
            self.at[symbol] = max(TICK[symbol] * 10, self.near(symbol, move))
            self.bench.price(self.at[symbol], symbol, mark=self.at[symbol] * (1 + Decimal(str(gap)) / 10))

    @rule(symbol=symbols, side=sides, notional=sizes, reduce_only=st.booleans(), name=names, chance=chances)
    def market_order(self, symbol, side, notional, reduce_only, name, chance):
        side = self.closing(symbol, side, chance) if reduce_only else side
        self.attempt("POST", "v1/order", symbol=symbol, side=side, type="MARKET", reduceOnly=reduce_only,
                     quantity=self.sized(symbol, notional), newClientOrderId=name)  # fmt: skip

    @rule(symbol=symbols, side=sides, notional=sizes, move=moves, reduce_only=st.booleans(), name=names,
          tif=st.sampled_from(["GTC", "IOC", "FOK", "GTX"]), chance=chances)  # fmt: skip
    def limit_order(self, symbol, side, notional, move, reduce_only, name, tif, chance):
        side = self.closing(symbol, side, chance) if reduce_only else side
        self.attempt("POST", "v1/order", symbol=symbol, side=side, type="LIMIT", timeInForce=tif,
                     price=self.near(symbol, move), reduceOnly=reduce_only,
                     quantity=self.sized(symbol, notional), newClientOrderId=name)  # fmt: skip

    @rule(notional=sizes, move=moves, chance=chances)
    def change(self, notional, move, chance):
        live = self.bench.ask("GET", "v1/openOrders")
        order = live[chance % len(live)] if live else {"symbol": BTC, "side": "BUY", "clientOrderId": "nothing"}
        symbol = order["symbol"]
        self.attempt("PUT", "v1/order", symbol=symbol, side=order["side"], quantity=self.sized(symbol, notional),
                     price=self.near(symbol, move), origClientOrderId=order["clientOrderId"])  # fmt: skip

    @rule(symbol=symbols, chance=chances)
    def cancel(self, symbol, chance):
        name = self.picked("v1/openOrders", "clientOrderId", chance)
        self.attempt("DELETE", "v1/order", symbol=symbol, origClientOrderId=name)

    @rule(symbol=symbols)
    def cancel_everything(self, symbol):
        self.attempt("DELETE", "v1/allOpenOrders", symbol=symbol)

    @rule(symbol=symbols, side=sides, notional=sizes, move=moves,
          how=st.sampled_from(["", "reduceOnly", "closePosition"]),
          kind=st.sampled_from(["STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET"]),
          working=st.sampled_from(["MARK_PRICE", "CONTRACT_PRICE"]), name=names, chance=chances)  # fmt: skip
    def conditional(self, symbol, side, notional, move, how, kind, working, name, chance):
        side = self.closing(symbol, side, chance) if how else side
        params = {how: "true"} if how else {}
        if how != "closePosition":
            params["quantity"] = self.sized(symbol, notional)
        if kind in {"STOP", "TAKE_PROFIT"}:
            params["price"] = self.near(symbol, move)
        if kind == "TRAILING_STOP_MARKET":
            params["callbackRate"] = "0.5"
        else:
            upwards = (side == "BUY") == kind.startswith("STOP")
            params["triggerPrice"] = self.near(symbol, abs(move) if upwards else -abs(move))
        self.attempt("POST", "v1/algoOrder", algoType="CONDITIONAL", symbol=symbol, side=side, type=kind,
                     workingType=working, clientAlgoId=name, **params)  # fmt: skip

    @rule(chance=chances)
    def cancel_conditional(self, chance):
        name = self.picked("v1/openAlgoOrders", "clientAlgoId", chance)
        self.attempt("DELETE", "v1/algoOrder", clientAlgoId=name)

    @rule(symbol=symbols, rate=st.sampled_from([-0.0075, -0.0001, 0.00012345, 0.0075]))
    def funding(self, symbol, rate):
        self.bench.exchange.settle_funding(symbol, rate, float(self.at[symbol]))

    @rule(symbol=symbols, leverage=st.sampled_from([1, 3, 50]), isolated=st.booleans(), amount=st.floats(-900, 900))
    def settings(self, symbol, leverage, isolated, amount):
        self.attempt("POST", "v1/leverage", symbol=symbol, leverage=leverage)
        self.attempt("POST", "v1/marginType", symbol=symbol, marginType="ISOLATED" if isolated else "CROSSED")
        self.attempt("POST", "v1/positionMargin", symbol=symbol, amount=f"{abs(amount) + 1:.8f}", type=1 + (amount < 0))

    @rule(chance=chances, symbol=symbols)
    def by_the_exchange(self, chance, symbol):
        path, key = [("v1/openOrders", "clientOrderId"), ("v1/openAlgoOrders", "clientAlgoId")][chance % 2]
        with suppress(VenueError):
            if chance == 0:
                self.bench.exchange.liquidate(symbol)
            else:
                self.bench.exchange.cancel_by_exchange(self.picked(path, key, chance))

    @invariant()
    def everything_is_true(self):
        self.what_is_told_is_true()
        self.money_is_conserved()
        self.answers_agree()

    def what_is_told_is_true(self):
        """Follow the user stream: legal states, fills within quantities, positions that are the sum of fills."""
        self.bench.told += self.bench.exchange.drain()
        for event in self.bench.told[self.seen :]:
            if event["e"] == "ORDER_TRADE_UPDATE":
                self.follow(event["o"])
            elif event["e"] == "ALGO_UPDATE":
                before = self.algo_states.get(event["o"]["aid"], "")
                assert event["o"]["X"] in ALGO_TRANSITIONS[before]
                self.algo_states[event["o"]["aid"]] = event["o"]["X"]
        self.seen = len(self.bench.told)

    def follow(self, order):
        number, symbol = order["i"], order["s"]
        assert order["X"] in TRANSITIONS[self.states.get(number, ""), order["x"]]
        self.states[number], self.quantity[number] = order["X"], Decimal(order["q"])
        part = Decimal(order["l"])
        self.filled[number] += part
        assert Decimal(order["z"]) == self.filled[number] <= self.quantity[number]
        assert (part > 0) == (order["x"] in {"TRADE", "CALCULATED"})
        if not part:
            return
        slow = self.slow[symbol]
        held = slow.amount
        slow.trade(order["S"], order["L"], order["l"], MAKER if order["m"] else TAKER)
        self.cash -= (part if order["S"] == "BUY" else -part) * Decimal(order["L"])
        self.fees += Decimal(order["n"])
        if order["R"]:
            assert abs(slow.amount) < abs(held)
            assert slow.amount * held >= 0

    def money_is_conserved(self):
        """Wallet = start + incomes = start + cash of all trades + cost - fees + funding + insurance, exactly."""
        exchange = self.bench.exchange
        income = exchange._holdings.income[self.incomes_seen :]
        self.incomes_seen += len(income)
        self.other += sum(Decimal(row["income"]) for row in income
                          if row["incomeType"] in {"FUNDING_FEE", "INSURANCE_CLEAR"})  # fmt: skip
        start, cost = Decimal(20_000), sum(each.position.cost for each in exchange._holdings.by_symbol.values())
        assert exchange.wallet == start + self.cash + cost - self.fees + self.other
        assert exchange.wallet == start + sum(Decimal(row["income"]) for row in exchange._holdings.income)
        realized = sum(
            Decimal(row["income"]) for row in exchange._holdings.income if row["incomeType"] == "REALIZED_PNL"
        )
        fills = sum(1 for _ in exchange._holdings.trades)
        assert abs(Fraction(realized) - sum(each.realized for each in self.slow.values())) <= fills * HALF_A_UNIT * 2
        assert abs(Fraction(self.fees) - sum(each.fees for each in self.slow.values())) <= fills * HALF_A_UNIT

    def answers_agree(self):
        """Positions, balances and open orders that are asked for are what events and fills add up to."""
        account = self.bench.ask("GET", "v2/account")
        assert Decimal(account["totalWalletBalance"]) == self.bench.exchange.wallet
        aside = sum(Decimal(row["isolatedWallet"]) for row in account["positions"])
        assert Decimal(account["totalCrossWalletBalance"]) + aside == self.bench.exchange.wallet
        open_orders = {row["orderId"] for row in self.bench.ask("GET", "v1/openOrders")}
        assert open_orders == {number for number, state in self.states.items() if state in LIVE}
        waiting = {row["algoId"] for row in self.bench.ask("GET", "v1/openAlgoOrders")}
        assert waiting == {number for number, state in self.algo_states.items() if state == "NEW"}
        for symbol in (BTC, SOL):
            position, slow = self.bench.position(symbol), self.slow[symbol]
            amount = Fraction(position["positionAmt"])
            assert (
                amount
                == slow.amount
                == sum(Fraction(row["qty"]) * (1 if row["buyer"] else -1) for row in self.bench.trades(symbol))
            )
            if amount:
                assert abs(Fraction(position["entryPrice"]) - slow.entry) < Fraction(1, 10**4)
            else:
                assert Decimal(position["isolatedWallet"]) == 0
                assert self.bench.exchange._holdings.by_symbol[symbol].position.cost == 0
            if position["marginType"] == "cross":
                assert Decimal(position["isolatedWallet"]) == 0


Account.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_an_account_stays_true = Account.TestCase
