"""A recorded session, taken again: every decision is the same, and where one is not, the cause is named."""

from pathlib import Path

import msgspec
import pytest

import cli
from adapters.onnx_policy import load_checked
from adapters.run_journal import RunJournal
from adapters.session_log import SessionLog
from adapters.session_view import refresh_view
from adapters.state_store import MemoryStateStore
from core.errors import ArtifactError
from core.features import feature_spec
from run_parity import parity_of, simulated
from tests.acceptance.recorded_session import MODELS, NAMES, changed, ns, record_replay
from tests.unit.networks import artifact, random_network

BTC, ETH = NAMES


@pytest.fixture(scope="module")
def short(history, tmp_path_factory):
    """A day and a half with a few orders."""
    folder = tmp_path_factory.mktemp("sessions") / "short"
    assert record_replay(history, folder, "2024-01-23", "2024-01-24T12:00")["fills"] > 3
    return folder


def artifacts(*folders):
    found = [load_checked(path, spec=feature_spec()) for path in (*MODELS, *folders)]
    return {one.manifest.sha256: one for one in found}


@pytest.fixture(scope="module")
def session(history, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions") / "calm"
    summary = record_replay(history, folder, "2024-01-22", "2024-01-27")
    assert summary["fills"] > 10
    return folder


def test_with_recorded_fills_every_decision_and_every_order_is_the_same(session):
    parity = parity_of(session, artifacts())
    assert parity.exact
    assert parity.share == 1.0
    assert parity.decisions == parity.identical == 2 * 5 * 96
    assert parity.orders == parity.orders_identical > 30
    assert parity.rows["equity"] == (480, 480)
    assert parity.rows["funding"][0] == parity.rows["funding"][1] > 0


def test_a_backtest_on_the_recorded_bars_decides_and_fills_the_same(session):
    """The session was a backtest itself: its own venue answers as the simulated one."""
    parity, gap = simulated(session, artifacts())
    assert parity.exact
    assert parity.decisions == 2 * 5 * 96
    assert gap.matched > 10
    assert gap.only_recorded == gap.only_simulated == 0
    assert gap.fill_worst_bps == gap.equity_worst_bps == 0.0


def test_models_that_rise_and_a_process_that_begins_again_are_taken_again_too(history, tmp_path):
    """Two processes in one session, the second with what the first left behind; a model arrives in each."""
    store, folder = MemoryStateStore(), tmp_path / "twice"
    late = artifact(tmp_path / "models" / "late", random_network(3, recurrent=12))
    rules = (
        "ensemble.min_agreement=0.3", "ensemble.quorum=1", "serving.shadow_bars=12", "serving.canary_bars=12",
        'serving.handover="next_bar"', "serving.decay_alarm=0",
    )  # fmt: skip
    arrival = ((ns("2024-01-22T03:00"), late),)
    record_replay(history, folder, "2024-01-22", "2024-01-24", store=store, rules=rules, arrivals=arrival)
    record_replay(history, folder, "2024-01-24", "2024-01-26", store=store, rules=rules)
    assert len([row for row in SessionLog(folder).rows() if row.kind == "start"]) == 2
    parity = parity_of(folder, artifacts(late))
    assert parity.exact, parity.first
    assert parity.decisions == 2 * 4 * 96
    assert parity.rows["members"][0] >= 13


def flipped(field, place, by):
    """Return a change of one field of the first bar of BTC that closes at a time."""

    def change(row):
        if row[2] != "told" or row[3][1] != "on_bar":
            return False
        bar = row[3][3][0][1]
        if not bar[0].startswith(BTC) or bar[7] != ns(place):
            return False
        bar[field] = f"{float(bar[field]) + by:.1f}"
        return True

    return change


def test_a_bar_flipped_by_one_tick_is_named_with_its_feature_and_what_followed(short, tmp_path):
    """The close of a decision bar, one tick: the last return is another, and so are the votes."""
    copy = changed(short, tmp_path / "flipped", flipped(4, "2024-01-23T07:00", 0.1))
    parity = parity_of(copy, artifacts())
    first = parity.first
    assert first is not None
    assert (first.cause, first.name, first.instrument_id) == ("data", "bar.close", BTC)
    assert first.bar_ns == first.ts_event == ns("2024-01-23T07:00")
    assert first.replayed - first.recorded == pytest.approx(0.1)
    assert first.features[0][0] == "return_1"
    assert first.features[0][1] != first.features[0][2]
    assert any(said.startswith("feature return_1 ") for said in first.consequences)
    assert any(said.startswith("confidences ") for said in first.consequences)
    assert 0 < parity.identical < parity.decisions


def test_a_bar_whose_change_no_feature_sees_is_named_all_the_same(short, tmp_path):
    copy = changed(short, tmp_path / "flipped", flipped(1, "2024-01-23T07:05", 0.1))
    parity = parity_of(copy, artifacts())
    assert parity.identical == parity.decisions - 1
    assert (parity.first.cause, parity.first.name) == ("data", "bar.open")
    assert parity.first.bar_ns == ns("2024-01-23T07:05")
    assert parity.first.consequences == ("no feature differs", "no order differs")


def nth(kind, wanted, change, n=1):
    """Return a change of the n-th row of a kind that is wanted."""
    seen = 0

    def once(row):
        nonlocal seen
        if row[2] == kind and wanted(row[3]):
            seen += 1
            if seen == n:
                change(row[3])
                return True
        return False

    return once


def put(place, value):
    def change(body):
        *path, last = place
        for step in path:
            body = body[step]
        body[last] = value(body[last])

    return change


def is_fill(body):
    return body[1] == "on_filled"


def is_decision(body):
    return body["client_order_id"] != ""


@pytest.mark.parametrize(
    ("cause", "name", "change"),
    [
        ("fill", "entry_price", nth("call", is_fill, put((3, 0, "price"), lambda price: price + 0.01))),
        ("risk", "equity", nth("answer", lambda b: b[1] == "_balance", put((3,), lambda balance: balance + 0.005))),
        ("risk", "target_lots", nth("decisions", is_decision, put(("target_lots",), lambda lots: lots + 1))),
        ("model", "levels", nth("decisions", is_decision, put(("levels", 0), lambda level: level + 0.5))),
        ("feature", "close", nth("decisions", is_decision, put(("close",), lambda close: close + 0.1))),
        ("fill", "orders", nth("wanted", lambda b: b[1][0][0] == "Submit", put((1, 0, 1, "lots"), lambda n: n + 1))),
        ("risk", "rule", nth("decisions", is_decision, put(("rules",), lambda text: text.replace("24.0", "23.0")))),
    ],
)
def test_whatever_is_changed_in_the_record_is_classified(short, tmp_path, cause, name, change):
    parity = parity_of(changed(short, tmp_path / "changed", change), artifacts())
    assert not parity.exact
    assert parity.first.cause == cause
    assert parity.first.name.startswith(name)


def test_a_model_that_is_not_there_is_asked_for_by_name(short):
    known = artifacts()
    gone = known.pop(next(iter(known)))
    with pytest.raises(ArtifactError, match=gone.manifest.model_id):
        parity_of(short, known)


def test_a_session_reads_like_a_run_and_the_command_says_what_is_identical(session, capsys):
    """Its decisions, orders and fills are those of the run that it was recorded in."""
    assert refresh_view(session)
    run = RunJournal(session.parent / "calm-run-2024-01-22")
    mine = RunJournal(session)
    for kind in ("decisions", "orders", "fills", "equity"):
        assert mine._read(kind, None) == run._read(kind, None), kind
    assert mine.model_ids == run.model_ids
    assert cli.main(["journal", "list", "--run", str(session), "--json"]) == 0
    assert len(msgspec.json.decode(capsys.readouterr().out)) > 10
    assert cli.main(["parity", str(session), "--json", "--models", *map(str, MODELS)]) == 0
    said = msgspec.json.decode(capsys.readouterr().out)
    assert (said["share"], said["exact"], said["fills"]) == (1.0, True, "recorded")
    assert cli.main(["parity", str(Path(session) / "nothing")]) == 1
    assert "no session" in capsys.readouterr().err
