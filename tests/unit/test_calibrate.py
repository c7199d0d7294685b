"""Calibration: a planted overconfidence is found and undone, tables are recounted by hand, trades follow the rules."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import configs
from adapters.network import Lstm, Network, tempered
from adapters.onnx_policy import OnnxEnsemble
from core.actions import ActionSpec
from core.ensemble import SIGNALLED, tally
from core.simulation import advance, start, state_size
from core.tape import R
from tests.unit.test_env import COSTS, HYPER, PARAMS, market
from training.calibrate import calibrate, fit_temperature, outputs_met
from training.env import rules_of
from training.episode import write_observation
from training.evaluate import one_voter

LEVELS = np.array(ActionSpec().levels)
TALLY = configs.load("train").tally_params()


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def planted_votes(n, seed, spread=1.5):
    """Logits whose probabilities are true: the move has the direction of the best action as often as they say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, spread, (n, 5))
    probabilities = softmax(logits)
    direction = np.sign(LEVELS[logits.argmax(axis=1)])
    mass = (probabilities * (np.sign(LEVELS)[np.newaxis] == direction[:, np.newaxis])).sum(axis=1)
    return logits, np.where(rng.random(n) < mass, direction, -direction)


def by_hand(confidence, right, bins=10):
    """Bins as (count, mean confidence, hit rate), and the calibration error, counted one by one."""
    table, error = [], 0.0
    for number in range(bins):
        own = [
            (c, r)
            for c, r in zip(confidence, right, strict=True)
            if number / bins <= c < (number + 1) / bins or (c == 1.0 and number == bins - 1)
        ]
        if own:
            mean, hits = math.fsum(c for c, _ in own) / len(own), sum(r for _, r in own) / len(own)
            table.append((len(own), mean, hits))
            error += len(own) / len(confidence) * abs(mean - hits)
    return table, error


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0, 6.0])
def test_a_planted_temperature_is_found(truth):
    logits, moves = planted_votes(40_000, seed=1)
    found = fit_temperature(logits * truth, moves, "softmax", LEVELS, horizon_bars=8)
    assert found.temperature == pytest.approx(truth, rel=0.04)
    assert found.error < 0.012
    assert found.error <= found.before
    if truth > 2.0:
        assert found.before > 0.1


@pytest.mark.parametrize("truth", [0.5, 2.0])
def test_a_planted_temperature_of_a_normal_level_is_found(truth):
    rng = np.random.default_rng(2)
    mean, log_std = rng.normal(0, 0.6, 40_000), rng.normal(-0.5, 0.3, 40_000)
    mass = np.array(
        [0.5 * (1 + math.erf(abs(m) / math.exp(s) / math.sqrt(2))) for m, s in zip(mean, log_std, strict=True)]
    )
    moves = np.where(rng.random(40_000) < mass, np.sign(mean), -np.sign(mean))
    outputs = np.column_stack([mean, log_std - math.log(truth)])
    found = fit_temperature(outputs, moves, "normal", LEVELS, horizon_bars=8)
    assert found.temperature == pytest.approx(truth, rel=0.05)
    assert found.error < 0.012


def test_the_table_is_that_of_a_count_by_hand():
    logits, moves = planted_votes(3_000, seed=3)
    logits *= 2.0
    found = fit_temperature(logits, moves, "softmax", LEVELS, horizon_bars=8)
    voted = LEVELS[logits.argmax(axis=1)]
    right = (np.sign(voted) == np.sign(moves))[voted != 0.0]
    for temperature, error in ((1.0, found.before), (found.temperature, found.error)):
        probabilities = softmax(logits / temperature)
        same = np.sign(LEVELS)[np.newaxis] == np.sign(voted)[:, np.newaxis]
        confidence = (probabilities * same).sum(axis=1)[voted != 0.0]
        table, wanted = by_hand(confidence, right)
        assert error == pytest.approx(wanted, abs=1e-12)
    assert [(b.count, b.confidence, b.hit_rate) for b in found.bins] == [pytest.approx(row) for row in table]
    assert sum(b.count for b in found.bins) == int((voted != 0.0).sum())


@pytest.mark.parametrize("seed", range(12))
def test_the_error_never_grows_even_on_noise_where_the_least_loss_would_let_it(seed):
    rng = np.random.default_rng(seed)
    found = fit_temperature(rng.normal(0, 0.8, (300, 5)), rng.normal(size=300), "softmax", LEVELS, horizon_bars=1)
    assert found.error <= found.before
    assert (found.temperature == 1.0) == (found.error == found.before)
    assert 0.25 <= found.temperature <= 10.0


def test_too_few_votes_say_nothing_of_a_temperature():
    logits, moves = planted_votes(150, seed=4)
    flat = logits.argmax(axis=1) == 2
    logits, moves = logits[~flat][:99], moves[~flat][:99]
    few = fit_temperature(4.0 * logits, moves, "softmax", LEVELS, horizon_bars=8)
    assert (few.temperature, few.error) == (1.0, few.before)
    assert sum(b.count for b in few.bins) == 99
    none = fit_temperature(np.array([[0.0, 0.0, 9.0, 0.0, 0.0]] * 500), np.ones(500), "softmax", LEVELS, horizon_bars=8)
    assert (none.temperature, none.before, none.error, none.bins) == (1.0, None, None, ())


def network(seed, *, recurrent=0, head="softmax", width=11, gain=2.0):
    rng = np.random.default_rng(seed)
    actions = 5 if head == "softmax" else 2
    shape = [(recurrent or width, 8), (8, actions)]
    lstm = None
    if recurrent:
        sizes = [(width, 4 * recurrent), (recurrent, 4 * recurrent), (4 * recurrent,)]
        lstm = Lstm(*(rng.normal(0, 0.4, size).astype(np.float32) for size in sizes))
    return Network(
        np.zeros(width, np.float32),
        np.ones(width, np.float32),
        tuple(rng.normal(0, gain / math.sqrt(a), (a, b)).astype(np.float32) for a, b in shape),
        tuple(np.zeros(b, np.float32) for _, b in shape),
        "Tanh",
        head,
        lstm,
    )


def traded_slowly(policy, tape, rows, rules, horizon):
    """Votes and outcomes of an ensemble of one that trades by the live rules, one plain step after the other."""
    state = np.zeros(state_size(rules.params))
    start(state, tape, rows[0], rules.starting_equity, rules.params)
    seen = np.empty(tape.features.shape[1] + 5, dtype=np.float32)
    votes = []
    for row in range(rows[0], rows[1] - 1):
        level, confidence, tradable = 0.0, 0.0, False
        if tape.ready[row]:
            write_observation(state, tape, row, rules, seen)
            levels, confidences = policy.vote(seen)
            signal = tally(levels, confidences, np.ones(1), one_voter(TALLY))
            level, confidence, tradable = signal.level, signal.confidence, signal.abstention == SIGNALLED
            if levels[0] != 0.0 and row + horizon < rows[1]:
                move = tape.rows[row + horizon, R.close] - tape.rows[row, R.close]
                votes.append((confidences[0], move * levels[0] > 0.0))
        advance(state, tape, row, level, confidence, tradable, rules.instrument, rules.params, rules.costs)
    return votes


def policy_of(net, kind):
    manifest = SimpleNamespace(model_id="m", sha256="s", actions=ActionSpec(kind=kind), calibration=None)
    return OnnxEnsemble([SimpleNamespace(network=net, manifest=manifest)])


@pytest.mark.parametrize(
    ("kind", "head", "recurrent"), [("discrete", "softmax", 0), ("continuous", "normal", 0), ("discrete", "softmax", 6)]
)
def test_calibration_counts_the_votes_that_the_rules_would_have_met(kind, head, recurrent):
    net = network(5, head=head, recurrent=recurrent)
    data = [market(seed, decisions=300) for seed in (1, 2)]
    spans = [(20, 280), (0, 300)]
    rules = [rules_of(m, PARAMS, COSTS, ActionSpec(), HYPER.environment, s) for m, s in zip(data, spans, strict=True)]
    calibrated, found = calibrate(net, [m.tape for m in data], spans, rules, TALLY, horizon_bars=7)
    votes = []
    for m, span, rule in zip(data, spans, rules, strict=True):
        votes += traded_slowly(policy_of(net, kind), m.tape, span, rule, 7)
    _, error = by_hand(*zip(*votes, strict=True))
    assert found.before == pytest.approx(error, abs=1e-4)
    assert sum(b.count for b in found.bins) == len(votes)
    assert found.error <= found.before
    assert found.horizon_bars == 7
    again = tempered(net, found.temperature)
    assert all(np.array_equal(a, b) for a, b in zip(calibrated.weights, again.weights, strict=True))
    assert found.temperature != 1.0
    met, said = outputs_met(net, data[0].tape, spans[0], rules[0], one_voter(TALLY))
    assert data[0].tape.ready[met].all()
    assert said.shape == (len(met), 5 if head == "softmax" else 2)


def test_a_close_beyond_the_range_or_a_gap_is_not_looked_at():
    data = market(3, decisions=200)
    span = (0, 100)
    rules = rules_of(data, PARAMS, COSTS, ActionSpec(), HYPER.environment, span)
    net = network(6)
    _, found = calibrate(net, [data.tape], [span], [rules], TALLY, horizon_bars=10)
    later = data.tape.rows.copy()
    later[100:, R.close] *= 50.0
    _, same = calibrate(net, [data.tape._replace(rows=later)], [span], [rules], TALLY, horizon_bars=10)
    assert same == found
    clock = data.tape.clock.copy()
    clock[60:, 0] += 3_600_000_000_000
    _, gap = calibrate(net, [data.tape._replace(clock=clock)], [span], [rules], TALLY, horizon_bars=10)
    assert sum(b.count for b in gap.bins) < sum(b.count for b in found.bins)
    _, none = calibrate(net, [data.tape], [(0, 10)], [rules], TALLY, horizon_bars=10)
    assert none.bins == ()
