"""A session of trading: everything random, everything by seed.

Requests arrive in order, late or not at all; answers out of order, twice or never. The process is killed between any
two commands and begins again with its snapshot. What the venue holds is the truth that a session is judged by.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count

import msgspec

import configs
from core.breaker import ACTIVE, HALTED, REDUCING
from core.commands import Cancel, Command, Modify, Publish, Query, Reconcile, Submit, WriteDecision
from core.desk import OrderParams, TraderParams
from core.messages import Flatten, Freeze, RiskState, Signal
from core.order_states import WORKING, OrderState
from core.protection import ProtectionParams
from core.situation import Instrument
from core.trader import Trader, TraderState
from tests.unit.erring_venue import ErringVenue

NAME = "BTCUSDT-PERP.BINANCE"
INSTRUMENT = Instrument(0.1, 0.001, 1, 120_000, 5.0)
EQUITY = 10_000.0
SECOND = 1_000_000_000
BAR_NS = 60 * SECOND
DECISION = configs.load(
    "backtest", ["market.decision_interval=1m", "risk.min_entry_spacing_minutes=1", "exits.stop_atr=1.5"]
).decision_params()


def params(style: str = "market", inherited: str = "adopt") -> TraderParams:
    """Return a trader's parameters on which every session runs."""
    return TraderParams(
        instrument_id=NAME,
        strategy_id="RL-001",
        instrument=INSTRUMENT,
        tick="0.1",
        peers=(),
        decision=DECISION,
        orders=OrderParams(
            style=style,  # type: ignore[arg-type]
            timeout_ns=10 * SECOND,
            retry_ns=SECOND,
            max_retry_ns=30 * SECOND,
            protection=ProtectionParams(SECOND, 20 * SECOND, 0.001),
            inherited=inherited,
            inherited_stop=0.02,
        ),
    )


class Session:
    """One session: a seed, a number of steps, and ``check`` after each."""

    def __init__(self, seed: int, *, faults: float = 1.0) -> None:
        self.random = random.Random(seed)
        self.style = self.random.choice(["market", "market", "twap"])
        self.now = 1_700_000_000 * SECOND
        self.state = ACTIVE
        self.problems: list[str] = []
        self.trader = Trader(params(self.style))
        self.venue = ErringVenue(self.random, self._tell, INSTRUMENT.tick)
        self.venue.faults = faults * self.random.choice([0.0, 0.02, 0.1, 0.25])
        self.lossless = self.random.random() < 0.5
        self.seen: Counter[str] = Counter()
        self.kills = 0
        self._queue: list[tuple[int, int, bool, Callable[[], None]]] = []
        self._counter = count()
        self._sent: set[str] = set()
        self._request_ns = 0
        self._frozen: set[str] = set()
        self._bare_ns = 0
        self._drift = self.random.choice([-0.003, 0.0, 0.003])

    # --- what happens ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let some time pass: prices, bars, risk, freezes, fills, kills."""
        self.venue.price *= 1.0 + self.random.gauss(self._drift, 0.002)
        for _ in range(3):
            self._pass(self.random.randint(1, 7) * SECOND)
        kind = self.random.random()
        if kind < 0.5:
            self._bar()
        elif kind < 0.54:
            self.state = self.random.choice([ACTIVE, ACTIVE, REDUCING, HALTED])
            self._mark(self.now)
            if self.state == HALTED:
                self._call(lambda: self.trader.on_flatten(Flatten("a limit", self.now), self.now))
        elif kind < 0.58:
            source = self.random.choice(["monitor", "person"])
            frozen = source not in self._frozen
            self._frozen.symmetric_difference_update({source})
            message = Freeze(self.random.choice(["", NAME]), source, frozen, "why not", self.now)
            self._call(lambda: self.trader.on_freeze(message, self.now))
        elif kind < 0.58 + self.venue.faults * 0.3:
            self._kill()
        elif kind > 0.96:
            self._compare()
        self.check()

    def settle(self, steps: int = 60) -> int:
        """End every fault, close everything, and return how many steps it took to be flat and quiet."""
        self.venue.faults = 0.0
        self.state = HALTED
        self._mark(self.now)
        self._call(lambda: self.trader.on_flatten(Flatten("the end", self.now), self.now))
        for number in range(steps):
            self._drain()
            if self.venue.lots == 0 and not self.trader.desk.orders.live and self.trader.position.lots == 0:
                return number
            self.check()
            if number % 4 == 3:
                self._compare()
        return steps

    def calm(self, steps: int = 40) -> bool:
        """End every fault and wait; return whether all is quiet: nothing waited for, nobody closing."""
        self.venue.faults = 0.0
        for number in range(steps):
            self._drain()
            self.check()
            if number % 4 == 3:
                self._compare()
            live = self.trader.desk.orders.live.values()
            quiet = all(order.state in {OrderState.ACCEPTED, OrderState.PARTLY_FILLED} for order in live)
            if number > 8 and quiet and self.trader.desk.closing is None and not self._queue:
                return True
        return False

    # --- what is checked ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look at what must hold after every step."""
        trader = self.trader
        held = trader.position.lots
        stop = trader.desk.orders.live.get(trader.desk.protection.order_id)
        quiet = stop is not None and stop.state in {OrderState.ACCEPTED, OrderState.PARTLY_FILLED}
        if quiet and stop is not None and (stop.left != abs(held) or stop.side * held >= 0):
            self.problems.append(f"a stop for {stop.side * stop.left} lots under a position of {held}")
        if held != 0 and trader.position.stop_price <= 0.0:
            self.problems.append("a position without a stop price")
        if len(self.venue.stops()) > 1:
            self.problems.append(f"{len(self.venue.stops())} stops rest at the venue")
        if self._bare_ns and self.now - self._bare_ns > 31 * SECOND and trader.desk.closing is None:
            self.problems.append("a position without a stop for too long that nobody closes")

    def _watch(self) -> None:
        """Take the time for which a position has had no working stop."""
        held = self.trader.position.lots
        stop = self.trader.desk.orders.live.get(self.trader.desk.protection.order_id)
        covered = held == 0 or (stop is not None and stop.state in WORKING)
        self._bare_ns = 0 if covered else self._bare_ns or self.now

    def _check_submit(self, command: Submit) -> None:
        desk = self.trader.desk
        if command.order_id in self._sent or len(command.order_id) > 31:
            self.problems.append(f"a name twice or too long: {command.order_id}")
        self._sent.add(command.order_id)
        if command.purpose in {"entry", "increase"}:
            if self.state != ACTIVE or self._frozen or command.reduce_only:
                self.problems.append(f"an increase while {self.state}, frozen by {self._frozen}")
            others = [order for order in desk.orders.live.values() if order.purpose != "stop"]
            if len(others) > 1 or any(order.state is OrderState.UNKNOWN for order in desk.orders.live.values()):
                self.problems.append("an increase while another order is under way or lost")
        elif not command.reduce_only:
            self.problems.append(f"a {command.purpose} that may increase")
        if command.purpose in {"stop", "exit"} and command.lots > abs(self.trader.position.lots):
            self.problems.append(f"a {command.purpose} of {command.lots} for {self.trader.position.lots} lots")

    def _check_decision(self, row: WriteDecision) -> None:
        """Recompute capital and loss to the stop of an increase that was let through."""
        target, held = abs(row.decided.target_lots), abs(row.before.lots)
        if target <= held or not row.order_id:
            return
        risk, close = DECISION.risk, row.signal.close
        side = 1 if row.decided.target_lots > 0 else -1
        capital = target * INSTRUMENT.lot * close + row.account.other_notional
        cost = risk.exit_cost * close
        added = (target - held) * (side * (close - row.decided.stop_price) + 2.0 * cost)
        kept = held * (side * (row.before.entry_price - row.decided.stop_price) + cost) if held else 0.0
        if capital > risk.max_capital * row.account.equity * (1.0 + 1e-9):
            self.problems.append(f"capital {capital:.2f} beyond the limit")
        if (added + max(kept, 0.0)) * INSTRUMENT.lot > risk.loss_per_trade * row.account.equity * (1.0 + 1e-9):
            self.problems.append("a loss to the stop beyond the budget")
        if row.account.frozen or row.account.state != ACTIVE:
            self.problems.append("an increase decided while frozen or not active")

    # --- the process ----------------------------------------------------------------------------------------------

    def _call(self, event: Callable[[], tuple[Command, ...]]) -> None:
        """Let the trader hear of an event and carry out what it asks for; it may be killed on the way."""
        commands = event()
        self._watch()
        for command in commands:
            if self.random.random() < self.venue.faults * 0.01:
                self._kill()
                return
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        self.seen[getattr(command, "purpose", type(command).__name__)] += 1
        match command:
            case Submit():
                self._check_submit(command)
                self._request(lambda: self.venue.submit(command))
            case Modify():
                order = self.trader.desk.orders.find(command.order_id)
                if order is not None and command.lots - order.filled > abs(self.trader.position.lots):
                    self.problems.append(f"a stop changed to {command.lots} for {self.trader.position.lots}")
                self._request(lambda: self.venue.modify(command))
            case Cancel():
                self._request(lambda: self.venue.cancel(command.order_id))
            case Query():
                self._request(lambda: self.venue.answer(command.order_id))
            case Reconcile():
                self._request(self._hold)
            case WriteDecision():
                self._check_decision(command)
            case Publish() | _:
                pass

    def _kill(self) -> None:
        """End the process and begin again: what was on its way to it is lost, what it sent is not."""
        kept = msgspec.msgpack.encode(self.trader.snapshot())
        self._queue = [entry for entry in self._queue if entry[2]]
        heapq.heapify(self._queue)
        self.venue.forget_parents()
        self.kills += 1
        self.trader = Trader(params(self.style))
        self.trader.restore(msgspec.msgpack.decode(kept, type=TraderState))
        self._request_ns = max(self._request_ns, self.now)
        self._bare_ns = 0
        self._call(lambda: self.trader.inherit(self.venue.lots, self.venue.entry, self.venue.open_orders(), self.now))

    def _market_ns(self) -> int:
        """Return how late it is in the market."""
        return self.now

    def _mark(self, ts: int) -> None:
        worth = abs(self.venue.lots) * INSTRUMENT.lot * self.venue.price
        state = RiskState(ts, EQUITY, EQUITY, EQUITY, 0.0, self.state, worth, {NAME: worth}, ts)
        self._call(lambda: self.trader.on_risk(state, self.now))

    def _bar(self) -> None:
        ts = self._market_ns()
        self._mark(ts)
        chance, price = self.random, self.venue.price
        level = chance.choice([-1.0, 0.0, 1.0])
        if self._drift != 0.0 and chance.random() < 0.8:
            level = self._drift * chance.choice([100.0, 200.0, 300.0])
        signal = Signal(
            NAME, ts, level, chance.uniform(0.3, 1.0), 1.0, 3, "", chance.random() < 0.9, price, price * 0.004,
            0.6, chance.uniform(0.2, 1.0), price, 0.0001, 480.0, (), (), "",
        )  # fmt: skip
        self._signalled(signal)

    def _signalled(self, signal: Signal) -> None:
        """Let the trader hear a signal."""
        self._call(lambda: self.trader.on_signal(signal, self.now))

    # --- the wire -------------------------------------------------------------------------------------------------

    def _request(self, act: Callable[[], None]) -> None:
        """Send a request: they arrive in order, late, or not at all."""
        if not self.lossless and self.random.random() < self.venue.faults * 0.3:
            return
        self._request_ns = max(self._request_ns, self.now + self.random.randint(1, 4) * SECOND // 4) + 1
        heapq.heappush(self._queue, (self._request_ns, next(self._counter), True, act))

    def _tell(self, method: str, *news: object, lossy: bool = True) -> None:
        """Send news: they arrive late, out of order, twice, or not at all."""
        times = 1
        if lossy and self.random.random() < self.venue.faults:
            times = 2 if self.lossless else self.random.choice([0, 2])
        for _ in range(times):
            due = self.now + self.random.randint(0, 8 if self.venue.faults else 1) * SECOND // 2 + 1
            entry = (due, next(self._counter), False, lambda: self._call(lambda: self._hear(method, *news)))
            heapq.heappush(self._queue, entry)

    def _hear(self, method: str, *news: object) -> tuple[Command, ...]:
        commands: tuple[Command, ...] = getattr(self.trader, method)(*news, self.now)
        return commands

    def _hold(self) -> None:
        """Tell what the venue holds; where no news was lost, ever, what has arrived must say the same."""
        if not self.lossless or self.kills:
            self._call(lambda: self.trader.on_position(self.venue.lots, self.venue.entry, self.now))
        elif not self._queue and self.venue.lots != self.trader.position.lots:
            self.problems.append(
                f"{self.trader.position.lots} lots held, {self.venue.lots} there, and nothing was lost"
            )

    def _compare(self) -> None:
        """Hold what the trader believes against the venue, as a node does every so often."""
        for order in list(self.trader.desk.orders.live.values()):
            truth = self.venue.orders.get(order.order_id)
            if not self.lossless and truth is not None and (truth.status, truth.filled) != ("working", order.filled):
                self.venue.answer(order.order_id)
        self._hold()

    def _pass(self, time_ns: int) -> None:
        """Let time pass: what is due arrives, alarms ring, the market moves on."""
        until = self.now + time_ns
        self.venue.match(self.now + 1)
        self.now += 1000
        while True:
            wake = self.trader.wake_ns
            due = self._queue[0][0] if self._queue else until + 1
            if min(due, wake or until) >= until:
                break
            if wake and wake < due:
                self.now = max(wake, self.now)
                self._call(lambda: self.trader.on_timer(self.now))
                if 0 < self.trader.wake_ns <= self.now:
                    self.problems.append(f"an alarm for {self.trader.wake_ns - self.now} ns ago")
                    return
            else:
                self.now = max(due, self.now)
                heapq.heappop(self._queue)[3]()
        self.now = until

    def _drain(self) -> None:
        """Let time pass in which the venue answers well."""
        for _ in range(3):
            self._pass(3 * SECOND)
