"""Models dropped into a replay: shadow, canary, active or out again, and what that leaves unchanged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from adapters.model_store import MODEL, Golden
from adapters.network_graph import network_to_onnx
from adapters.onnx_policy import answers
from adapters.state_store import MemoryStateStore
from core.observation import POSITION_COLUMNS
from core.stages import STAGES
from run_backtest import Replay, run_backtest
from tests.acceptance.test_backtest import command
from tests.unit.networks import WIDTH, artifact, random_network

BTC = "BTCUSDT-PERP.BINANCE"
ROOT = Path(__file__).parents[2]
RULES = (
    "ensemble.min_agreement=0.3", "ensemble.quorum=1", "serving.shadow_bars=48", "serving.canary_bars=48",
    'serving.handover="next_bar"', "serving.window_bars=1000", "serving.decay_alarm=0",
)  # fmt: skip
START, END, ARRIVAL = "2024-01-20", "2024-01-27", "2024-01-22T06:00:00"
BAR_NS = 900 * 10**9
OWN = ("levels", "confidences", "models", "weights")
"""Columns of the votes: a further vote stands in them."""


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def models() -> tuple[Path, ...]:
    return tuple(sorted(p.parent for p in (ROOT / "catalog" / "models").glob("*/manifest.json")))


def play(history, out, *arrivals, rules=RULES, start=START, end=END, store=None) -> dict[str, pd.DataFrame]:
    replay = Replay(
        config=configs.load("backtest", rules),
        catalog=history,
        instruments=(BTC,),
        start_ns=ns(start),
        end_ns=ns(end),
        out=out,
        models=models(),
        arrivals=arrivals,
        store=store,
        report=False,
    )
    run_backtest(replay)
    return {kind: pd.read_parquet(out / f"{kind}.parquet") for kind in ("decisions", "fills", "members")}


def moves(run, name) -> list[tuple[str, str, str, int]]:
    """Stages and reasons of a model, and the decision bar since its arrival at which it moved."""
    rows = run["members"][run["members"].model_id == name]
    return [
        (r.stage_from, r.stage_to, r.reason.partition(":")[0], (r.ts_event - ns(ARRIVAL)) // BAR_NS)
        for r in rows.itertuples()
    ]


@pytest.fixture(scope="module")
def alone(history, tmp_path_factory):
    return play(history, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def risen(history, tmp_path_factory):
    place = artifact(tmp_path_factory.mktemp("models") / "late", random_network(3, recurrent=12))
    return play(history, tmp_path_factory.mktemp("risen"), (ns(ARRIVAL), place))


def test_a_model_that_arrives_rises_from_shadow_to_canary_to_active(alone, risen):
    """It is seen at its time, votes from the next bar on, and each stage lasts its bars."""
    assert moves(risen, "late") == [
        ("", "SHADOW", "arrived", 0),
        ("SHADOW", "CANARY", "served", 48),
        ("CANARY", "ACTIVE", "served", 96),
    ]
    founding = risen["members"][risen["members"].model_id != "late"]
    assert set(founding.reason) == {"founding"}
    pd.testing.assert_frame_equal(founding, alone["members"])


def test_every_decision_row_says_who_voted_with_what_weight(risen):
    bars = (risen["decisions"].ts_event - ns(ARRIVAL)) // BAR_NS
    for bar, row in zip(bars, risen["decisions"].itertuples(), strict=True):
        late = {name: weight for name, weight in zip(row.models, row.weights, strict=True) if name == "late"}
        weight = None if bar <= 0 else 0.0 if bar <= 48 else 0.25 if bar <= 96 else 1.0
        assert late == ({} if weight is None else {"late": weight}), bar
        assert len(row.levels) == len(row.confidences) == len(row.models) == (5 if bar <= 0 else 6)


def test_a_shadow_changes_nothing_and_a_canary_something(alone, risen):
    canary = ns(ARRIVAL) + 48 * BAR_NS
    a, b = alone["decisions"], risen["decisions"]
    shared = [name for name in a.columns if name not in OWN]
    before = a.ts_event <= canary
    assert before.sum() == len(a[a.ts_event <= ns(ARRIVAL)]) + 48
    pd.testing.assert_frame_equal(a[before][shared], b[before][shared], check_exact=True)
    for name in OWN:
        pairs = zip(a[before][name], b[before][name], strict=True)
        assert all(np.array_equal(mine, others[: len(mine)]) for mine, others in pairs), name
    early = [frame[frame.ts_event <= canary] for frame in (alone["fills"], risen["fills"])]
    pd.testing.assert_frame_equal(*early, check_exact=True)
    after = [frame[~before][shared].reset_index(drop=True) for frame in (a, b)]
    assert not after[0].equals(after[1]), "the votes do count once they have a weight"


def holding_breaks(place: Path) -> Path:
    """Write a model that passes its golden vectors and says NaN as soon as a position is held."""
    network = random_network(4, activation="Relu")
    held = WIDTH - len(POSITION_COLUMNS) + POSITION_COLUMNS.index("holding")
    network.mean[held], network.scale[held] = 0.0, 1e6
    network.weights[0][held, :] = 0.0
    network.weights[0][held, 0] = 1e19
    network.weights[1][0, :] = np.abs(network.weights[1][0, :]) * 1e19
    network.weights[2][:, :] = np.abs(network.weights[2])
    golden = np.random.default_rng(1).normal(0, 1, (16, WIDTH)).astype(np.float32)
    golden[:, held] = 0.0
    said, _ = answers(network, golden[:, np.newaxis])
    vectors = Golden(observations=golden.tolist(), answers=said[:, 0].tolist(), states=[])
    return artifact(place, network, model_bytes=network_to_onnx(network), golden=vectors)


def test_a_canary_whose_answers_break_is_dropped_at_that_bar_and_the_rest_stands(history, alone, tmp_path):
    """Its trial falls into a time without a position; the first one breaks it."""
    decisions = alone["decisions"]
    flat = (decisions.position_lots == 0).to_numpy()
    first = next(i for i in range(20, len(flat)) if not flat[i] and flat[i - 12 : i].all())
    came = int(decisions.ts_event[first - 12])
    rules = (*RULES[:2], "serving.shadow_bars=4", "serving.canary_bars=400", *RULES[4:], "serving.canary_share=0.0")
    run = play(history, tmp_path / "run", (came, holding_breaks(tmp_path / "breaks")), rules=rules)
    rows = run["members"][run["members"].model_id == "breaks"]
    assert rows.stage_to.to_list() == ["SHADOW", "CANARY", "DROPPED"]
    assert rows.reason.iloc[-1] == "nan_answer: its answer is no number"
    assert int(rows.ts_event.iloc[-1]) == int(decisions.ts_event[first]), "at the first bar of the position"
    shared = [name for name in decisions.columns if name not in OWN]
    pd.testing.assert_frame_equal(decisions[shared], run["decisions"][shared], check_exact=True)
    assert len(run["decisions"].models.iloc[-1]) == 5, "it is not even asked any more"


def test_a_model_whose_votes_lose_is_dropped(history, alone, tmp_path):
    """It changes its mind nearly every bar and pays for that."""
    network = random_network(12)
    network.weights[-1][:] *= 40.0
    place = artifact(tmp_path / "nervous", network)
    rules = (*RULES, "serving.shadow_bars=20", "serving.canary_bars=2000", "serving.max_loss=0.1")
    run = play(history, tmp_path / "run", (ns(ARRIVAL), place), rules=rules)
    last = moves(run, "nervous")[-1]
    assert last[:3] == ("CANARY", "DROPPED", "loss")
    others = run["members"][run["members"].model_id != "nervous"]
    assert set(others.reason) == {"founding"}
    votes = run["decisions"][run["decisions"].models.map(lambda names: "nervous" in names)]
    level, close = np.array([row[5] for row in votes.levels], dtype=float), votes.close.to_numpy()
    cost, keep = 0.0006, 0.5 ** (1 / 672)
    paper = np.append(0.0, level[:-1] * (close[1:] / close[:-1] - 1)) - cost * np.abs(np.diff(level, prepend=0.0))
    gain = 0.0
    gains = [gain := keep * gain + earned for earned in paper]
    lost = next(i for i, g in enumerate(gains) if g < -0.1)
    assert int(votes.ts_event.iloc[lost]) == ns(ARRIVAL) + last[3] * BAR_NS


def test_a_broken_artifact_is_refused_in_a_row_and_changes_nothing(history, alone, tmp_path):
    place = artifact(tmp_path / "torn", random_network(5))
    (place / MODEL).write_bytes((place / MODEL).read_bytes()[:-1])
    run = play(history, tmp_path / "run", (ns(ARRIVAL), place))
    (row,) = run["members"][run["members"].model_id == "torn"].to_dict("records")
    assert (row["stage_from"], row["stage_to"], row["ts_event"]) == ("", "REFUSED", ns(ARRIVAL))
    assert "SHA-256" in row["reason"]
    pd.testing.assert_frame_equal(alone["decisions"], run["decisions"], check_exact=True)


def test_learned_weights_outlive_the_process(history, tmp_path):
    """A run that ends and one that goes on with what was kept weigh the next vote as one that never ended."""
    rules = (*RULES, 'ensemble.method="performance"', "serving.learning_rate=50.0")
    middle, store = "2024-01-22T12:00:00", MemoryStateStore()
    whole = play(history, tmp_path / "whole", rules=rules, end="2024-01-23")["decisions"]
    play(history, tmp_path / "first", rules=rules, end=middle, store=store)
    again = play(history, tmp_path / "second", rules=rules, start=middle, end="2024-01-23", store=store)
    wanted = whole[whole.ts_event > ns(middle)].weights.iloc[0]
    assert again["decisions"].weights.iloc[0].tolist() == wanted.tolist()
    assert np.ptp(wanted) > 0.1
    assert len(again["members"]) == 0, "nobody came or went"


def test_an_arrival_on_the_command_line_is_the_same_run(history, risen, tmp_path):
    place = artifact(tmp_path / "late", random_network(3, recurrent=12))
    rules = [word for rule in RULES for word in ("--set", rule)]
    done = command(
        "--catalog", history, "--instrument", BTC, "--start", START, "--end", END, "--models", *models(), *rules,
        "--arrive", f"{ARRIVAL}={place}", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "members.parquet"), risen["members"])
    assert set(risen["members"].stage_to) <= set(STAGES)
    wrong = command("--catalog", history, "--arrive", "2024-01-20", "--out", tmp_path / "other")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--arrive '2024-01-20' names no directory; give TIME=DIR" in wrong.stderr
