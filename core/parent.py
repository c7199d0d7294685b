"""A parent order at work: what was sent of it, what filled, what is sent next, and when it is over.

Pure: events in, orders out. Slices are numbered from 1 in the order in which they are sent (`core.slices`).
"""

from typing import Literal, NamedTuple, get_args

from core import chase
from core.chase import ChaseParams, Order, Outcome, Phase, Withdraw
from core.situation import Instrument
from core.slices import Slice, least_lots, participation, twap

__all__ = ["STYLES", "Cancel", "ExecutionParams", "Parent", "ParentOrder", "Style", "Touch"]

Style = Literal["limit", "twap", "participation"]
STYLES: tuple[str, ...] = get_args(Style)


class ExecutionParams(NamedTuple):
    """How parents are worked; `core.slices` and `core.chase` say what the numbers mean.

    Every ``interval_ns`` the market is looked at while a limit order rests or volume is waited for.
    """

    slices: int
    duration_ns: int
    rate: float
    jitter: float
    interval_ns: int
    chase: ChaseParams


class ParentOrder(NamedTuple):
    """What the owner asks for: ``side`` +1 buy, -1 sell; lots unsigned; ``arrival`` price at the decision."""

    style: Style
    side: int
    lots: int
    arrival: float
    instrument: Instrument
    reduce_only: bool
    seed: int
    start_ns: int


class Touch(NamedTuple):
    """The market: best bid and ask in ticks, and the lots traded since the parent's start."""

    bid: int
    ask: int
    traded_lots: float


class Cancel(NamedTuple):
    """The slice of that number is to be cancelled."""

    number: int


Command = Order | Cancel


class Parent:
    """One parent order.

    Parameters
    ----------
    order : ParentOrder
        What is wanted.
    params : ExecutionParams
        How.

    Attributes
    ----------
    order : ParentOrder
        What is wanted.
    filled_lots : int
        Lots filled so far; more than wanted only where a slice filled after its end.
    outcome : str
        Empty while it works; see `core.messages.ParentEnded`.
    reason : str
        The venue's words where a slice was refused.
    wake_ns : int
        When it wants to look at the market next, ns UTC; 0 where it only waits for its slices to end.
    """

    def __init__(self, order: ParentOrder, params: ExecutionParams) -> None:
        self.order = order
        self.filled_lots = 0
        self.outcome: Outcome = ""
        self.reason = ""
        self.wake_ns = order.start_ns
        self._params = params
        self._open: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._sent = 0
        self._numbers = 0
        self._stopping: Outcome = ""
        # The venue's minimum notional does not hold for what only reduces.
        self._filters = order.instrument._replace(min_notional=0.0) if order.reduce_only else order.instrument
        least = least_lots(self._filters, order.arrival)
        self._chase = chase.begin(
            order.side,
            order.lots,
            least=least,
            arrival=order.arrival,
            tick=order.instrument.tick,
            now_ns=order.start_ns,
            params=params.chase,
        )
        self._plan: tuple[Slice, ...] = ()
        if order.style == "twap":
            self._plan = twap(
                order.lots,
                slices=params.slices,
                duration_ns=params.duration_ns,
                instrument=self._filters,
                price=order.arrival,
                jitter=params.jitter,
                seed=order.seed,
            )

    @property
    def unfilled_lots(self) -> int:
        """Lots wanted and not filled."""
        return self.order.lots - self.filled_lots

    def look(self, now_ns: int, touch: Touch) -> list[Command]:
        """Return what is to be sent or cancelled now, and set when to look next."""
        self.wake_ns = 0
        if self.outcome:
            return []
        if self._stopping == "canceled" or self._chase.phase == Phase.LEAVING:
            self.wake_ns = now_ns + self._params.interval_ns
            return [Cancel(number) for number in self._open]  # once more, should the first have been refused
        if self._stopping:
            return []
        if self.order.style == "limit":
            self.wake_ns = now_ns + self._params.interval_ns
            self._chase, command = chase.look(
                self._chase, now_ns=now_ns, bid=touch.bid, ask=touch.ask, params=self._params.chase
            )
            return self._chased(command)
        due, last = self._due(now_ns, touch)
        commands: list[Command] = []
        while due > 0:
            lots = min(due, self._filters.max_lots)
            commands.append(self._send(Order("market", lots)))
            due -= lots
        if last:
            self.wake_ns = 0
            self._stopping = "timed_out"
            self._finish()
        return commands

    def on_filled(self, number: int, lots: int) -> list[Command]:
        """Count a fill of a slice, whenever it comes; return what is to be cancelled.

        What a slice fills after its end was free to be sent again: where it was, more is at the venue than is wanted.

        Raises
        ------
        ValueError
            For more than the slice had left.
        """
        late = number not in self._open
        wanted = (self._left if late else self._open).get(number, self.unfilled_lots)
        if lots > wanted:
            raise ValueError(f"a fill of {lots} lots where {wanted} were wanted")
        self.filled_lots += lots
        if late:
            self._left[number] = wanted - lots
            self._sent += lots
        if self.order.style == "limit" and not self.outcome:
            self._chase = chase.filled(self._chase, min(lots, self._chase.left))
        left = self._open.get(number, 0) - lots
        if left > 0:
            self._open[number] = left
        else:
            self._open.pop(number, None)
        self._finish()
        if sum(self._open.values()) <= max(self.unfilled_lots, 0):
            return []
        if self._chase.phase == Phase.RESTING:
            self._chase = self._chase._replace(phase=Phase.LEAVING)
        return [Cancel(open_number) for open_number in self._open]

    def on_ended(self, number: int, *, refusal: str = "", post_only: bool = False) -> None:
        """Take note that a slice is over: cancelled or expired, or refused by the venue or the engine for a reason.

        What it left open is sent with the next slice; after a refusal nothing more is sent.
        """
        left = self._open.pop(number, 0)
        if left == 0 or self.outcome:
            return
        self._sent -= left
        self._left[number] = left
        if refusal and not post_only and self._stopping != "canceled":
            self._stopping, self.reason = "rejected", refusal
        if self.order.style == "limit" and self._chase.phase != Phase.OVER:
            self._chase = chase.ended(self._chase, refused=bool(refusal), post_only=post_only)
        self._finish()

    def stop(self) -> list[Command]:
        """Send nothing more and cancel what is at the venue: the owner has changed its mind."""
        if self.outcome:
            return []
        self._stopping = "canceled"
        commands: list[Command] = [Cancel(number) for number in self._open]
        if self.order.style == "limit":
            self._chase, command = chase.stop(self._chase)
            commands = self._chased(command)
        self._finish()
        return commands

    def _due(self, now_ns: int, touch: Touch) -> tuple[int, bool]:
        """Return the lots to send now, and whether nothing comes after them."""
        order, params = self.order, self._params
        elapsed = now_ns - order.start_ns
        left = order.lots - self._sent
        price = touch.bid * order.instrument.tick
        if order.style == "twap":
            later = [piece for piece in self._plan if piece.at_ns > elapsed]
            due = left - sum(piece.lots for piece in later)
            last = not later
            self.wake_ns = order.start_ns + (later[0].at_ns if later else elapsed)
        else:
            last = elapsed >= params.duration_ns or left == 0
            self.wake_ns = min(now_ns + params.interval_ns, order.start_ns + params.duration_ns)
            due = (
                left
                if last
                else participation(
                    left,
                    sent_lots=self._sent,
                    traded_lots=touch.traded_lots,
                    rate=params.rate,
                    instrument=self._filters,
                    price=price,
                    jitter=params.jitter,
                    seed=order.seed,
                )
            )
        whole = due == order.lots and self._sent == 0
        return (due if whole or due >= least_lots(self._filters, price) else 0), last

    def _chased(self, command: Order | Withdraw | None) -> list[Command]:
        """Return a chase's command as one of ours."""
        if isinstance(command, Order):
            return [self._send(command)]
        self._finish()
        return [Cancel(number) for number in self._open] if command is not None else []

    def _send(self, order: Order) -> Order:
        self._numbers += 1
        self._open[self._numbers] = order.lots
        self._sent += order.lots
        return order

    def _finish(self) -> None:
        """Take note that it is over, where nothing is at the venue and nothing more is to be sent."""
        if self._open or self.outcome:
            return
        if self.unfilled_lots <= 0:
            self.outcome = "filled"
        elif self.order.style == "limit":
            self.outcome = "rejected" if self._stopping == "rejected" else self._chase.outcome
        else:
            self.outcome = self._stopping
