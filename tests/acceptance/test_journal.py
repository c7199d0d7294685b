"""``autotrade journal`` on a real replay: an answer for every decision and order, with the numbers of the rows."""

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import cli
import configs
from adapters.recorder import digest
from adapters.run_journal import RunJournal
from adapters.scripted_policy import ScriptedPolicy
from commands.journal import _about, _about_order
from core.explain import judgement, shown
from core.times import iso
from run_backtest import DECISION_COLUMNS, Replay, run_backtest

BTC = "BTCUSDT-PERP.BINANCE"


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def levels() -> list[float]:
    rng = np.random.default_rng(4)
    return np.repeat(rng.choice([-1.0, -0.4, 0.0, 0.3, 1.0], 60), 3).tolist()


def play(history: Path, out: Path) -> Path:
    overrides = ["ensemble.quorum=1", "exits.stop_atr=1.0", "exits.trail_start_atr=0.5", "exits.trail_atr=0.7",
                 "risk.min_entry_spacing_minutes=60"]  # fmt: skip
    replay = Replay(
        config=configs.load("backtest", overrides),
        catalog=history,
        instruments=(BTC,),
        start_ns=ns("2024-01-20"),
        end_ns=ns("2024-01-22"),
        out=out,
        policies={BTC: ScriptedPolicy(levels())},
        report=False,
    )
    run_backtest(replay)
    return out


@pytest.fixture(scope="module")
def run(history, tmp_path_factory) -> Path:
    return play(history, tmp_path_factory.mktemp("journal") / "run")


def test_every_decision_has_a_complete_answer_and_its_numbers_are_the_rows(run):
    journal = RunJournal(run)
    rows = journal.decisions(start_ns=0, end_ns=2**62)
    assert len(rows) == 2 * 96
    assert {"", "flat_signal", "denied", "rebalance"} <= {row["reason"] for row in rows}
    for row in rows:
        text = "\n".join(_about(journal, row)["text"])
        assert f"decision at the close of {iso(row['ts_event'])}" in text
        for name in ("close", "atr", "volatility", "volatility_rank", "equity", "drawdown", "confidence", "agreement"):
            assert shown(row[name]) in text, name
        assert float(shown(row["equity"])) == pytest.approx(row["equity"], rel=1e-7)
        for column in ("state", "abstention", "client_order_id"):
            assert row[column] in text
        assert row["verdict"] in text or row["verdict"] == "allowed"
        judged = judgement(row)
        assert (judged is None) == ("not asked" in text)
        if judged is not None:
            found = re.findall(r"(passed|cut|denied|idle|off) +(\w+) .*; leaves (\d+) lots", text)
            assert found == [(said.verdict, said.name, str(said.lots)) for said in judged.results()]
            assert all(shown(said.value) in text for said in judged.results() if said.value == said.value)
            lots = [judged.wanted, *(said.lots for said in judged.results())]
            assert lots == sorted(lots, reverse=True), "no rule gives back what another took"
            assert lots[-1] == max(abs(row["target_lots"]), judged.held)
        if not row["client_order_id"]:
            assert "nothing was ordered: " in text


def test_every_order_has_an_answer_with_its_fills(run):
    journal = RunJournal(run)
    orders, fills = pd.read_parquet(run / "orders.parquet"), pd.read_parquet(run / "fills.parquet")
    kinds = set()
    for order_id in orders.client_order_id.unique():
        told = _about_order(journal, order_id, journal.orders(order_id))
        text = "\n".join(told["text"])
        kinds.add((told["kind"], bool(told["fills"]), bool(told.get("moves"))))
        for fill in fills[fills.client_order_id == order_id].itertuples():
            side = 1 if fill.side == "BUY" else -1
            slippage = side * (float(fill.price) / fill.arrival_price - 1) * 1e4
            assert f"at {fill.price} (taker) at" in text
            assert f"slippage {shown(slippage)} bps" in text
    assert ("decision", True, False) in kinds
    assert {("stop", True, False), ("stop", True, True), ("stop", False, False)} & kinds
    assert any(kind == "stop" and moved for kind, _, moved in kinds), "a stop was moved by a decision"


def test_the_command_answers_in_words_and_in_json(run, capsys):
    sent = next(row for row in RunJournal(run).acted() if row["client_order_id"])
    assert cli.main(["journal", "why", sent["client_order_id"], "--run", str(run)]) == 0
    by_id = capsys.readouterr().out
    assert cli.main(["journal", "why", iso(sent["ts_event"]), "--run", str(run), "--instrument", BTC]) == 0
    assert capsys.readouterr().out == by_id
    assert cli.main(["journal", "why", iso(sent["ts_event"]), "--run", str(run), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["decision"]["client_order_id"] == sent["client_order_id"]
    assert told["decision"]["rules"]["wanted"] >= abs(sent["target_lots"])
    assert f"run {run}\n\n" + "\n".join(told["text"]) + "\n" == by_id
    assert cli.main(["journal", "list", "--run", str(run), "--last", "3"]) == 0
    assert capsys.readouterr().out.count("\n") == 3
    assert cli.main(["journal", "invariants", "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} >= {"unprotected", "reconciled"}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["2024-01-20T00:17", "--run", "RUN"], 1, "the nearest are 2024-01-20T00:15:00Z and 2024-01-20T00:30:00Z"),
        (["2030-01-01", "--run", "RUN"], 1, "the nearest are 2024-01-22T00:00:00Z"),
        (["O-nobody", "--run", "RUN"], 2, "'O-nobody' is neither an order of "),
        (["2024-01-20", "--run", "nowhere"], 1, "no run in nowhere"),
        (["2024-01-20", "--run", "RUN", "--instrument", "X"], 1, "holds no decision on X, only on BTCUSDT-PERP"),
    ],
)
def test_what_is_not_there_gets_one_line(run, capsys, args, code, said):
    assert cli.main(["journal", "why", *[str(run) if arg == "RUN" else arg for arg in args]]) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_a_run_of_before_is_explained_as_far_as_it_goes(run, tmp_path, capsys):
    for kind in ("decisions", "orders", "fills"):
        table = pq.read_table(run / f"{kind}.parquet")
        pq.write_table(
            table.drop_columns(["reason", "rules"]) if kind == "decisions" else table, tmp_path / f"{kind}.parquet"
        )
    assert cli.main(["journal", "why", "2024-01-20T00:15", "--run", str(tmp_path)]) == 0
    assert "not kept by this older run" in capsys.readouterr().out
    assert cli.main(["journal", "list", "--run", str(tmp_path), "--last", "1"]) == 0


def test_a_second_run_writes_the_same_reasons_and_rules(history, run, tmp_path):
    again = play(history, tmp_path / "again")
    assert {"reason", "rules"} <= set(DECISION_COLUMNS)
    for column in ("reason", "rules"):
        mine, other = (pq.read_table(place / "decisions.parquet")[column] for place in (run, again))
        assert mine.equals(other)
    columns = list(DECISION_COLUMNS)
    assert digest(run / "decisions.parquet", columns) == digest(again / "decisions.parquet", columns)
    assert msgspec.json.decode(next(text for text in mine.to_pylist() if text))["rules"]
