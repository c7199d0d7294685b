"""No size that the gate allows exceeds a limit, by exact arithmetic; and limits only ever tighten."""

import math
from fractions import Fraction

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from core.breaker import ACTIVE
from core.gate import LEAST_SCALE, Proposal, allowed_lots, explained, limit_scale
from core.protections import M, close_trade, new_memory, open_bar
from core.risk import RiskParams
from core.rules import ALLOWED, CAPITAL, GROUP, INSTRUMENT, LOSS_PER_TRADE, ORDER_NOTIONAL, RULES, VERDICTS
from core.situation import Account, Instrument, Market

CUTS = (CAPITAL, INSTRUMENT, GROUP, LOSS_PER_TRADE, ORDER_NOTIONAL)
TS = 19_700 * 86_400_000_000_000
A_BILLIONTH = 1 + Fraction(1, 10**9)
fractions = st.floats(0.0, 1.0)
tightenings = st.just(0.0) | st.floats(0.0, 0.3) | st.floats(0.0, 0.9)


@st.composite
def limits(draw) -> RiskParams:
    calm = draw(st.floats(0.0, 1.0))
    return RiskParams(
        loss_per_trade=draw(st.floats(0.01, 0.03)), daily_drawdown=draw(st.floats(0.05, 0.1)),
        max_capital=draw(st.floats(0.2, 0.5)), exit_cost=draw(st.floats(0.0, 0.002)), min_entry_spacing_bars=0,
        max_entries_24h=5, volatility_quantile=1.0, pyramiding=1, auto_rearm=0,
        max_instrument=draw(st.floats(0.1, 0.5)), max_group=draw(st.floats(0.1, 0.5)),
        max_order_notional=10.0 ** draw(st.floats(2.0, 9.0)), volatility_calm_quantile=calm,
        tighten_volatility=draw(tightenings), tighten_loss=draw(tightenings),
        tighten_drawdown=draw(tightenings),
    )  # fmt: skip


@st.composite
def proposals(draw):
    """Draw a proposal near the limits and its surroundings; now and then a stop or an entry on the wrong side."""
    close = draw(st.floats(0.01, 100_000.0))
    tick, lot = draw(st.sampled_from([(0.1, 0.001), (0.01, 1.0), (1e-5, 1e-8), (1e-4, 1000.0)]))
    equity = close * lot * draw(st.floats(1.0, 1e3) | st.floats(1.0, 1e9))
    a_share = st.floats(0.0, 0.1)
    held = int(draw(st.just(0.0) | a_share) * equity / (close * lot))
    size = held + 1 + int(draw(st.floats(0.0, 0.6)) * equity / (close * lot))
    side = draw(st.sampled_from([1, -1]))
    wrong = draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, -1]))
    entry = close * (1.0 - side * wrong * draw(st.floats(1e-4, 0.3))) if held else 0.0
    stop = close * (
        1.0 - side * draw(st.sampled_from([1, 1, wrong])) * draw(st.floats(0.0, 0.5) | st.floats(0.001, 0.05))
    )
    return (
        Proposal(side, size, held, entry, stop, draw(st.integers(0, 4))),
        Market(close, 0.01 * close, 0.5, draw(fractions)),
        Account(
            equity, equity * draw(st.just(0.0) | a_share), ACTIVE,
            group_notional=equity * draw(st.just(0.0) | a_share), drawdown=draw(st.floats(0.0, 0.12)),
        ),
        Instrument(tick, lot, draw(st.integers(1, 3)), draw(st.integers(1, 10**9)), close * lot * draw(fractions) * 3),
        draw(st.integers(0, 6)),
    )  # fmt: skip


def allowed(drawn, params: RiskParams):
    """Return lots, verdict and the rules' results after a number of losses in a row."""
    proposal, market, account, instrument, losses = drawn
    memory = new_memory(params)
    for _ in range(losses):
        close_trade(memory, 0, -0.001, False, params)
    open_bar(memory, 0, TS, market.volatility_rank, params)
    lots, verdict = allowed_lots(proposal, market, account, memory, 0, instrument, params)
    return lots, verdict, explained(memory, 0, params)


def scale_in_words(market: Market, account: Account, losses: int, params: RiskParams) -> float:
    """Return the share of the limits that is left, as `configs/risk.py` describes it."""
    room = 1.0 - params.volatility_calm_quantile
    above = market.volatility_rank - params.volatility_calm_quantile
    wild = 0.0 if above <= 0.0 else above / room
    worn = min(account.drawdown / params.daily_drawdown, 1.0)
    left = (1.0 - params.tighten_volatility * wild) * (1.0 - params.tighten_drawdown * worn)
    for _ in range(losses):
        left *= 1.0 - params.tighten_loss
    return max(left, 0.1)


def used(lots: int, drawn, params: RiskParams) -> dict[int, Fraction]:
    """Return what a position of ``lots`` takes of each limit that may cut, in exact arithmetic."""
    proposal, market, account, instrument, _ = drawn
    close, stop, lot = Fraction(market.close), Fraction(proposal.stop_price), Fraction(instrument.lot)
    cost, side, added = Fraction(params.exit_cost), proposal.side, lots - proposal.held
    notional = lots * lot * close
    way_out = cost * max(close, stop)
    loss = added * lot * (side * (close - stop) + cost * close + way_out)
    if proposal.held:
        loss += proposal.held * lot * max(side * (Fraction(proposal.entry_price) - stop) + way_out, Fraction(0))
    return {
        CAPITAL: notional + Fraction(account.other_notional),
        INSTRUMENT: notional,
        GROUP: notional + Fraction(account.group_notional),
        LOSS_PER_TRADE: loss,
        ORDER_NOTIONAL: added * lot * close,
    }


def most(drawn, params: RiskParams) -> dict[int, Fraction]:
    """Return the limits in quote currency."""
    _, market, account, _, losses = drawn
    equity = Fraction(account.equity) * Fraction(scale_in_words(market, account, losses, params))
    return {
        CAPITAL: Fraction(params.max_capital) * equity,
        INSTRUMENT: Fraction(params.max_instrument) * equity,
        GROUP: Fraction(params.max_group) * equity,
        LOSS_PER_TRADE: Fraction(params.loss_per_trade) * equity,
        ORDER_NOTIONAL: Fraction(params.max_order_notional),
    }


@settings(max_examples=3500, deadline=None)
@given(proposals(), limits())
def test_no_size_that_is_allowed_exceeds_a_limit_and_one_more_lot_would(drawn, params):
    proposal, market, _, instrument, _ = drawn
    lots, verdict, _ = allowed(drawn, params)
    caps = most(drawn, params)
    assert proposal.held <= lots <= proposal.size
    if lots > proposal.held:
        for code, value in used(lots, drawn, params).items():
            # A quotient of floats may round up to the whole number of lots that it stands just below.
            a_lot = Fraction(instrument.lot) * Fraction(market.close)
            assert value <= caps[code] * A_BILLIONTH + a_lot / 10**8, RULES[code - 1].name
        assert proposal.side * (market.close - proposal.stop_price) > 0.0
        assert proposal.stop_price > 0.0
        assert lots <= instrument.max_lots
        added = lots - proposal.held
        assert added >= instrument.min_lots
        least = Fraction(instrument.min_notional)
        assert added * Fraction(instrument.lot) * Fraction(market.close) * A_BILLIONTH >= least
        if verdict in CUTS:
            assert used(lots + 1, drawn, params)[verdict] * A_BILLIONTH > caps[verdict], "one more lot would exceed it"
    event(f"{'allowed' if lots > proposal.held else 'denied'}: {VERDICTS[verdict]}")
    assert (lots < proposal.size) == (verdict != ALLOWED)


@settings(max_examples=2000, deadline=None)
@given(st.integers(1, 10**6), st.floats(0.01, 100_000.0), st.sampled_from([0.001, 1.0, 1e-8, 1000.0]))
def test_room_for_a_whole_number_of_lots_is_used_up_and_a_millionth_less_is_one_lot_less(lots, close, lot):
    proposal = Proposal(1, lots + 5, 0, 0.0, 0.999 * close, 0)
    market, account = Market(close, 0.01 * close, 0.5, 0.5), Account(1e30, 0.0, ACTIVE)
    instrument = Instrument(0.1, lot, 1, 10**9, 0.0)
    room = lots * (close * lot)
    for most, expected in ((room, lots), (room - close * lot * 1e-6, lots - 1)):
        params = RiskParams(0.03, 0.05, 0.5, 0.0, 0, 5, 1.0, 1, 0, max_order_notional=most)
        assert allowed((proposal, market, account, instrument, 0), params)[0] == expected


@settings(max_examples=3000, deadline=None)
@given(proposals(), limits())
def test_a_tightened_limit_never_exceeds_the_configured_one_nor_allows_more(drawn, params):
    market, account, losses = drawn[1], drawn[2], drawn[4]
    scale = limit_scale(market.volatility_rank, losses, account.drawdown, params)
    assert LEAST_SCALE <= scale <= 1.0
    assert math.isclose(scale, scale_in_words(market, account, losses, params), rel_tol=1e-12)
    loose = params._replace(tighten_volatility=0.0, tighten_loss=0.0, tighten_drawdown=0.0)
    lots, _, results = allowed(drawn, params)
    lots_configured, _, configured = allowed(drawn, loose)
    assert lots <= lots_configured
    for ours, theirs in zip(results, configured, strict=True):
        if ours.name != "min_notional":
            assert ours.limit <= theirs.limit


@settings(max_examples=1000, deadline=None)
@given(limits(), fractions, fractions, st.integers(0, 50), st.integers(0, 50), fractions, fractions)
def test_more_volatility_losses_or_drawdown_never_widen_a_limit(params, rank, rank2, losses, losses2, down, down2):
    calm = limit_scale(min(rank, rank2), min(losses, losses2), min(down, down2), params)
    assert limit_scale(max(rank, rank2), max(losses, losses2), max(down, down2), params) <= calm
    assert limit_scale(math.nan, losses, down, params) <= limit_scale(rank, losses, down, params)
    assert limit_scale(rank, losses, math.nan, params) <= limit_scale(rank, losses, down, params)


@settings(max_examples=1500, deadline=None)
@given(proposals(), limits(), st.lists(st.sampled_from(RULES), max_size=6))
def test_what_is_decided_does_not_depend_on_being_explained(drawn, params, off):
    proposal, market, account, instrument, _ = drawn
    params = params._replace(rules_off=sum({1 << rule.code for rule in off if rule.switchable}))
    silent, telling = new_memory(params), new_memory(params)
    silent[M.explain] = 0.0
    answers = set()
    for memory in (silent, telling):
        open_bar(memory, 0, TS, market.volatility_rank, params)
        answers.add(allowed_lots(proposal, market, account, memory, 0, instrument, params))
    assert len(answers) == 1
    assert explained(silent, 0, params) == ()
    lots, verdict = answers.pop()
    results = explained(telling, 0, params)
    assert results[-1].lots == lots
    running, last = proposal.size, 0
    for code, result in enumerate(results, 1):
        if result.lots < running:
            running, last = result.lots, code
    assert last == verdict


@settings(max_examples=500, deadline=None)
@given(proposals(), limits())
def test_a_rule_that_is_off_never_makes_another_stricter(drawn, params):
    lots, verdict, _ = allowed(drawn, params)
    assume(verdict and RULES[verdict - 1].switchable)
    assert allowed(drawn, params._replace(rules_off=1 << verdict))[0] >= lots
