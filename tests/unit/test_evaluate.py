"""Replayed networks of every kind against their ONNX graphs, which are asked row by row as in trading."""

import numpy as np
import pytest

from adapters.network import Network
from adapters.network_graph import INPUT, NEXT_STATE, OUTPUTS, STATE, network_to_onnx
from adapters.onnx_policy import answers, open_session
from core.actions import ActionSpec, decode_continuous, decode_discrete
from core.ensemble import SIGNALLED, tally
from core.performance import EquityCurve, daily_returns, sharpe
from core.simulation import X, advance, replay, start, state_size
from tests.unit.networks import KINDS, WIDTH, observations, random_network
from tests.unit.test_env import BTC, CONFIG, COSTS, PARAMS, episode, market
from training.env import rules_of
from training.episode import write_observation
from training.evaluate import evaluate, one_voter
from training.packed import answer, pack

TALLY = one_voter(CONFIG.tally_params())
WIDE = WIDTH - 5
ROUNDING = 3e-6
"""Two float32 sums of the same terms in different orders: the ONNX answers are as far from those in float64."""
COARSE = BTC._replace(lot=0.05, max_lots=1_000)
"""With a lot worth a dollar, a millionth of confidence would sometimes make a lot more or less."""
ZOO = [
    random_network(1),
    random_network(2, hidden=(64, 64)),
    random_network(3, hidden=(), activation="Relu"),
    random_network(4, hidden=(33,), activation="Relu", head="normal", actions=2),
    random_network(5, recurrent=12),
    random_network(6, hidden=(), recurrent=7, head="normal", actions=2),
]


def rules(data):
    return rules_of(data, PARAMS, COSTS, ActionSpec(), episode(), (0, len(data.tape.ts_close)))


def said(networks, rows):
    """What the replay's own arithmetic says of rows that follow each other: a list of [n, A], one a network."""
    packed = pack(networks)
    states, scratch = np.zeros(packed.states, np.float32), np.empty((2, packed.widest), np.float32)
    out = np.empty(packed.widest)
    found = [[] for _ in networks]
    for k in range(len(rows)):
        for m in range(len(networks)):
            count = answer(packed, m, rows[k], states, scratch, out)
            found[m].append(out[:count].copy())
    return [np.array(one) for one in found]


@pytest.mark.parametrize(
    "network", ZOO, ids=lambda network: f"{network.head} {network.shape} {network.lstm is not None}"
)
def test_the_replay_says_what_the_onnx_graph_says(network):
    rows = observations(3_000, seed=7) * np.float32(0.25)
    rows[:, :3] *= 100.0  # beyond the clip
    rows[1_000:2_000, -5:] = 0.0  # flat
    wanted = answers(network, rows[:, np.newaxis])[0][:, 0]
    found = said([network], rows)[0]
    assert found.shape == wanted.shape
    difference = np.abs(found - wanted).max(axis=0) / np.maximum(1.0, np.abs(wanted).max(axis=0))
    assert difference.max() < ROUNDING, f"{difference.max():.1e}"


def test_networks_side_by_side_say_what_each_says_alone():
    rows = observations(200, seed=3)
    for together, network in zip(said(ZOO, rows), ZOO, strict=True):
        assert np.array_equal(together, said([network], rows)[0])


def traded_slowly(networks, data, rows, tally_params):
    """The same range row by row: ONNX Runtime answers, each core function is called by itself."""
    tape, given = data.tape, rules(data)
    sessions = [open_session(network_to_onnx(network)) for network in networks]
    states = [np.zeros((1, network.state_width), np.float32) for network in networks]
    account = np.zeros(state_size(PARAMS))
    start(account, tape, rows[0], given.starting_equity, PARAMS)
    row_of = np.empty((1, tape.features.shape[1] + 5), np.float32)
    steps = []
    for row in range(rows[0], rows[1] - 1):
        level, confidence, tradable = 0.0, 0.0, False
        if tape.ready[row]:
            write_observation(account, tape, row, given, row_of[0])
            votes = []
            for m, (network, session) in enumerate(zip(networks, sessions, strict=True)):
                feeds = {INPUT: row_of} | ({STATE: states[m]} if network.lstm else {})
                outputs = [OUTPUTS[network.head]] + ([NEXT_STATE] if network.lstm else [])
                got = session.run(outputs, feeds)
                if network.lstm:
                    states[m] = got[1]
                decoded = got[0].astype(float)
                votes.append(
                    decode_continuous(decoded) if network.head == "normal" else decode_discrete(decoded, given.levels)
                )
            result = tally(*(np.concatenate(v) for v in zip(*votes, strict=True)), np.ones(len(votes)), tally_params)
            level, confidence, tradable = result.level, result.confidence, result.abstention == SIGNALLED
        decided = advance(account, tape, row, level, confidence, tradable, data.instrument, PARAMS, COSTS)
        steps.append((level if tradable else np.nan, confidence, decided.target_lots, account[X.equity]))
    return np.array(steps)


@pytest.mark.parametrize("names", [["softmax"], ["normal"], ["recurrent"], list(KINDS)], ids=" ".join)
def test_an_ensemble_trades_as_its_graphs_do_row_by_row(names):
    data = market(9, decisions=700, width=WIDE)._replace(instrument=COARSE)
    networks = [random_network(11 + i, **KINDS[name]) for i, name in enumerate(names)]
    found = evaluate(networks, data.tape, (20, 690), rules(data), TALLY)
    wanted = traded_slowly(networks, data, (20, 690), TALLY)
    assert not data.tape.ready[20:690].all()
    np.testing.assert_allclose(found.levels, wanted[:, 0], atol=ROUNDING)
    decided = ~np.isnan(found.levels)
    np.testing.assert_allclose(found.confidences[decided], wanted[decided, 1], atol=ROUNDING)
    np.testing.assert_array_equal(found.targets, wanted[:, 2])
    np.testing.assert_allclose(found.equity[1:], wanted[:, 3], rtol=1e-12)
    assert found.fills > 20


def test_a_network_that_always_votes_one_action_trades_as_the_replay_of_it():
    """A network of zeros but for the bias of one action votes that action at a known confidence."""
    data = market(9)
    bias = np.array([0, 0, 0, 0, 3.0], dtype=np.float32)
    network = Network(
        np.zeros(11, np.float32), np.ones(11, np.float32), (np.zeros((11, 5), np.float32),), (bias,), "Tanh"
    )
    result = evaluate([network], data.tape, (10, 300), rules(data), TALLY)
    p = np.exp(bias) / np.exp(bias).sum()
    levels = np.where(data.tape.ready[10:299], 1.0, np.nan)
    confidences = np.full(289, p[3] + p[4])
    path = replay(data.tape, 10, levels, confidences, 10_000.0, BTC, PARAMS, COSTS)
    assert np.allclose(result.equity, path[:, X.equity], rtol=1e-12)
    assert np.array_equal(result.lots, path[:, X.lots])
    assert np.array_equal(result.levels, levels, equal_nan=True)
    assert result.long == 1.0
    assert result.fills == path[-1, X.fills] > 0
    assert result.total_return == pytest.approx(path[-1, X.equity] / 10_000.0 - 1.0)
    curve = EquityCurve(data.tape.ts_close[10:300], path[:, X.equity])
    assert np.allclose(result.daily, daily_returns(curve)[1], rtol=1e-12)
    assert result.sharpe == pytest.approx(sharpe(curve))
    assert set(result.figures()) == {
        "total_return", "max_drawdown", "sharpe", "fees", "funding", "turnover", "fills", "exposed", "long",
    }  # fmt: skip


def test_what_cannot_be_evaluated_is_refused():
    data = market(9)
    fits = random_network(1)
    with pytest.raises(ValueError, match="nothing can be evaluated"):
        evaluate([], data.tape, (0, 10), rules(data), TALLY)
    with pytest.raises(ValueError, match="nothing can be evaluated"):
        evaluate([fits], data.tape, (5, 6), rules(data), TALLY)
    with pytest.raises(ValueError, match="does not turn 11 inputs into 5 outputs"):
        evaluate([fits], data.tape, (0, 10), rules(data), TALLY)
    wide = market(9, width=WIDE)
    with pytest.raises(ValueError, match="into 5 outputs"):
        evaluate([random_network(1, actions=3)], wide.tape, (0, 10), rules(wide), TALLY)
