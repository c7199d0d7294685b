"""The gate's memory against plain lists of everything that ever happened."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.compiled import compiled
from core.protections import (
    NEVER_BARS,
    M,
    Protections,
    close_trade,
    fits,
    memory_size,
    new_memory,
    open_bar,
    recall,
    record_entry,
    reset,
    withdraw_entry,
)
from core.risk import RiskParams

MINUTE = 60_000_000_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
START = 19_700 * DAY


@dataclass
class History:
    """All that happened, and what follows from it, in the words of the rules."""

    params: RiskParams
    bars: list[tuple[int, float]] = field(default_factory=list)  # ts, rank
    entries: list[tuple[int, int]] = field(default_factory=list)  # ts, bar
    trades: list[tuple[int, int, float, bool]] = field(default_factory=list)  # ts, bar, return, stopped
    last_entry_bar: int | None = None

    def recalled(self) -> Protections:
        ts, bar = self.bars[-1][0], len(self.bars)
        today = [at for at, _ in self.entries if (at - 1) // DAY == (ts - 1) // DAY]
        recent = [at for at, _ in self.entries if at > ts - DAY]
        since = NEVER_BARS + bar if self.last_entry_bar is None else bar - self.last_entry_bar
        return Protections(
            entries_24h=min(len(recent), max(self.params.max_entries_24h, 1)),
            entries_today=len(today),
            bars_since_entry=since,
            calm_bars_missing=self.calm_bars_missing(),
            loss_streak=self.streak(len(self.trades)),
            streak_bars_left=self.left(bar, self.params.loss_streak_bars, self.ends_a_streak),
            stop_bars_left=self.left(bar, self.params.stop_guard_bars, self.ends_many_stops),
            profit_bars_left=self.left(bar, self.params.low_profit_bars, self.ends_a_bad_stretch),
        )

    def calm_bars_missing(self) -> int:
        """Look back for the last wild bar, then for the first long enough stretch of calm ones after it."""
        ranks = [rank for _, rank in self.bars]
        wild = [i for i, rank in enumerate(ranks) if rank > self.params.volatility_quantile]
        if not wild:
            return 0
        calm = 0
        for rank in ranks[wild[-1] + 1 :]:
            calm = calm + 1 if rank <= self.params.volatility_calm_quantile else 0
            if calm == self.params.volatility_observation_bars:
                return 0
        return self.params.volatility_observation_bars - calm

    def streak(self, count: int) -> int:
        losses = 0
        while losses < count and self.trades[count - 1 - losses][2] < 0.0:
            losses += 1
        return losses

    def ends_a_streak(self, trade: int) -> bool:
        return self.streak(trade + 1) >= self.params.loss_streak

    def ends_many_stops(self, trade: int) -> bool:
        ts = self.trades[trade][0]
        stops = [t for t in self.trades[: trade + 1] if t[3] and t[0] > ts - self.params.stop_guard_ns]
        return self.trades[trade][3] and len(stops) >= self.params.stop_guard_stops

    def ends_a_bad_stretch(self, trade: int) -> bool:
        last = self.trades[max(trade + 1 - self.params.low_profit_trades, 0) : trade + 1]
        within = all(t[0] > self.trades[trade][0] - self.params.low_profit_ns for t in last)
        enough = len(last) == self.params.low_profit_trades
        return enough and within and sum(t[2] for t in last) < self.params.low_profit_return

    def left(self, bar: int, length: int, begins) -> int:
        """Return how many bars are left of a pause, ``bar`` included: it covers ``length`` bars after each trigger."""
        ends = [self.trades[i][1] + length for i in range(len(self.trades)) if begins(i)]
        return max([0, *(end - bar + 1 for end in ends)])


@st.composite
def limits(draw) -> RiskParams:
    few = st.integers(1, 4)
    return RiskParams(
        0.01, 0.05, 0.5, 0.0006, 1, draw(st.integers(0, 6)), draw(st.sampled_from([0.5, 0.75, 1.0])), 1, 0,
        volatility_calm_quantile=draw(st.sampled_from([0.25, 0.5, 0.75])), volatility_observation_bars=draw(few),
        loss_streak=draw(few), loss_streak_bars=draw(st.integers(0, 5)), stop_guard_stops=draw(few),
        stop_guard_ns=draw(st.sampled_from([0, HOUR, 6 * HOUR, DAY])), stop_guard_bars=draw(st.integers(0, 5)),
        low_profit_trades=draw(few), low_profit_ns=draw(st.sampled_from([0, 2 * HOUR, DAY, 30 * DAY])),
        low_profit_return=draw(st.sampled_from([0.0, -0.125, -0.5])), low_profit_bars=draw(st.integers(0, 5)),
    )  # fmt: skip


bars = st.tuples(
    st.just("bar"), st.sampled_from([15, 15, 60, 360, 1440]), st.sampled_from([0.0, 0.25, 0.4, 0.6, 0.8, 1.0])
)
eighths = st.integers(-4, 4).map(lambda n: n / 8)
trades = st.tuples(st.just("trade"), eighths, st.booleans())
steps = st.lists(bars | st.tuples(st.sampled_from(["enter", "withdraw"])) | trades, max_size=80)


@settings(max_examples=1500, deadline=None)
@given(limits(), steps, st.integers(0, 5))
def test_the_memory_knows_what_lists_of_everything_know(params, sequence, at):
    memory = np.full(at + memory_size(params) + 3, 77.0)
    reset(memory, at, params)
    ts = START
    open_bar(memory, at, ts, 0.5, params)
    history = History(params, bars=[(ts, 0.5)])
    for step in sequence:
        if step[0] == "bar":
            ts += step[1] * MINUTE
            open_bar(memory, at, ts, step[2], params)
            history.bars.append((ts, step[2]))
        elif step[0] == "enter" and history.recalled().entries_24h < max(params.max_entries_24h, 1):
            record_entry(memory, at, params)
            history.entries.append((ts, len(history.bars)))
            history.last_entry_bar = len(history.bars)
        elif step[0] == "withdraw" and history.entries:
            withdraw_entry(memory, at, params)
            history.entries.pop()
        elif step[0] == "trade":
            close_trade(memory, at, step[1], step[2], params)
            history.trades.append((ts, len(history.bars), step[1], step[2]))
        assert recall(memory, at, params) == history.recalled()
    assert np.all(memory[:at] == 77.0), "nothing is written before"
    assert np.all(memory[at + memory_size(params) :] == 77.0), "nor behind"


@settings(max_examples=200, deadline=None)
@given(limits(), steps, steps)
def test_a_memory_that_is_saved_and_restored_goes_on_as_if_it_had_never_stopped(params, before, after):
    lived, ts = new_memory(params), START

    def live(memory, sequence, ts):
        for step in sequence:
            if step[0] == "bar":
                ts += step[1] * MINUTE
                open_bar(memory, 0, ts, step[2], params)
            elif step[0] == "enter":
                record_entry(memory, 0, params)
            elif step[0] == "withdraw":
                withdraw_entry(memory, 0, params)
            else:
                close_trade(memory, 0, step[1], step[2], params)
        return ts

    ts = live(lived, before, ts)
    restored = np.frombuffer(lived.tobytes(), dtype=np.float64).copy()
    assert fits(restored, params)
    live(lived, after, ts)
    live(restored, after, ts)
    assert lived.tobytes() == restored.tobytes()
    assert recall(lived, 0, params) == recall(restored, 0, params)


def test_a_memory_of_other_limits_does_not_fit():
    params = RiskParams(
        0.01, 0.05, 0.5, 0.0006, 1, 6, 0.9, 1, 0, loss_streak=3, stop_guard_stops=2, low_profit_trades=4
    )
    memory = new_memory(params)
    assert fits(memory, params)
    assert fits(memory, params._replace(loss_per_trade=0.02, loss_streak=4)), "the rings are as long as they were"
    assert not fits(memory, params._replace(max_entries_24h=7))
    assert not fits(memory, params._replace(max_entries_24h=7, stop_guard_stops=1)), "as long, but shifted"
    assert not fits(memory[:-1], params)
    memory[M.layout] += 1.0
    assert not fits(memory, params)


def test_a_ring_of_no_entries_still_counts_the_spacing():
    params = RiskParams(0.01, 0.05, 0.5, 0.0006, 1, 0, 0.9, 1, 0)
    memory = new_memory(params)
    open_bar(memory, 0, START, 0.5, params)
    assert recall(memory, 0, params)[:3] == (0, 0, NEVER_BARS + 1)
    record_entry(memory, 0, params)
    open_bar(memory, 0, START + MINUTE, 0.5, params)
    assert recall(memory, 0, params).bars_since_entry == 1


def test_volatility_must_be_calm_for_a_while_before_entries_resume():
    params = RiskParams(
        0.01, 0.05, 0.5, 0.0006, 1, 6, 0.9, 1, 0, volatility_calm_quantile=0.6, volatility_observation_bars=2
    )
    memory = new_memory(params)
    ranks = [0.5, 0.9, 0.91, 0.8, 0.6, 0.61, 0.5, float("nan"), 0.6, 0.9]
    missing = []
    for i, rank in enumerate(ranks):
        open_bar(memory, 0, START + i * MINUTE, rank, params)
        missing.append(recall(memory, 0, params).calm_bars_missing)
    assert missing == [0, 0, 2, 2, 1, 2, 1, 1, 0, 0]


def test_a_pause_covers_so_many_bars_after_the_trade_and_a_win_ends_the_streak():
    params = RiskParams(0.01, 0.05, 0.5, 0.0006, 1, 6, 0.9, 1, 0, loss_streak=2, loss_streak_bars=2)
    memory = new_memory(params)
    left = []
    for i, result in enumerate([-0.1, -0.1, None, None, None, -0.1, 0.0, -0.1, None]):
        open_bar(memory, 0, START + i * MINUTE, 0.5, params)
        left.append(recall(memory, 0, params).streak_bars_left)
        if result is not None:
            close_trade(memory, 0, result, False, params)
    assert left == [0, 0, 2, 1, 0, 0, 2, 1, 0]


def test_withdrawing_from_an_empty_memory_changes_nothing():
    params = RiskParams(0.01, 0.05, 0.5, 0.0006, 1, 6, 0.9, 1, 0)
    memory = new_memory(params)
    withdraw_entry(memory, 0, params)
    assert memory.tobytes() == new_memory(params).tobytes()


def test_the_memory_is_the_same_inside_compiled_code():
    params = RiskParams(
        0.01, 0.05, 0.5, 0.0006, 1, 6, 0.9, 1, 0, loss_streak=2, loss_streak_bars=2, low_profit_trades=3,
        low_profit_ns=DAY, low_profit_return=0.0, low_profit_bars=4, stop_guard_ns=HOUR, stop_guard_bars=3,
    )  # fmt: skip
    inside, outside = new_memory(params), new_memory(params)
    returns = np.random.default_rng(1).normal(0.0, 0.01, 50)
    _live(inside, returns, params)
    for i, value in enumerate(returns):
        open_bar(outside, 0, START + i * HOUR, abs(value) * 50, params)
        record_entry(outside, 0, params)
        close_trade(outside, 0, value, value < -0.01, params)
    assert inside.tobytes() == outside.tobytes()


@compiled
def _live(memory, returns, params):
    for i in range(len(returns)):
        open_bar(memory, 0, START + i * HOUR, abs(returns[i]) * 50, params)
        record_entry(memory, 0, params)
        close_trade(memory, 0, returns[i], returns[i] < -0.01, params)
