"""The page of a selection, read back as a reader would: its words, its tables, its pictures."""

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.report_plot import Scale, ticks
from adapters.selection_charts import histogram
from adapters.selection_report import write_selection_report
from adapters.selection_tables import figure_text
from core.selection import Selection
from tests.shells.selection_sample import selection_sample

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = '<script>alert(1)</script>"&'


class Page(HTMLParser):
    """The open elements are kept as a stack: what closes must be what was opened last."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.drawn: list[tuple[str, dict[str, str]]] = []
        self.described = 0
        self.feed(source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.drawn.append((tag, given))
        if tag == "svg" or "plot" in given.get("class", "").split():
            self.described += 1
            assert given["role"] == "img"
            assert given["aria-label"]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.drawn.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, self.getpos()

    def handle_data(self, data):
        if {"script", "style"} & set(self.stack):
            return
        self.words.append(data)
        if {"td", "th"} & set(self.stack):
            self.tables[-1][-1][-1] += data

    def table(self, *head: str) -> list[list[str]]:
        """Return the rows under the head that begins so."""
        return next(rows[1:] for rows in self.tables if tuple(rows[0][: len(head)]) == head)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def charts(self) -> dict:
        return json.loads(re.search(r'id="chart-data">(.*?)</script>', self.source, re.DOTALL).group(1))


def page_of(tmp_path, selection: Selection) -> Page:
    path = tmp_path / "selection.html"
    write_selection_report(path, selection)
    assert [found.name for found in tmp_path.iterdir()] == ["selection.html"]
    return Page(path.read_text(encoding="utf-8"))


def number(text: str) -> float | None:
    """Read what a cell shows: per cent becomes a fraction, a dash nothing."""
    found = re.search(r"[+\u2212]?[\d,]+(?:\.\d+)?", text)
    if found is None:
        return None
    value = float(found.group().replace("\u2212", "-").replace(",", ""))
    return value / 100.0 if "%" in text else value


def shows(text: str, value: float | None) -> bool:
    """Whether a cell shows a value, to half of its last digit."""
    shown = number(text)
    if value is None or shown is None:
        return shown is None and value is None
    digits = len(text.rstrip("% bps").partition(".")[2])
    return abs(shown - value) <= 0.5000001 * 10.0**-digits / (100.0 if "%" in text else 1.0)


def test_the_verdict_comes_first_and_is_honest(tmp_path):
    selection = selection_sample()
    failed = sum(not rule.passed for rule in selection.rules)
    page = page_of(tmp_path, selection)
    assert failed > 10
    assert f"{failed} of 21 rules failed; this ensemble must not trade real money." in page.text
    assert page.text.index("\u2717 FAIL") < page.text.index("rules failed") < page.text.index("Read with care")
    assert "\u2717 FAIL 14 of 21 rules failed" in page.text
    assert f"+{selection.figures['total_return']:.1%} flat 0.0% \u00b7 buy and hold" in page.text


def test_a_pass_is_no_promise(tmp_path):
    selection = selection_sample(edge=0.0025, limits={"sharpe": 1.0, "total_return": 0.0})
    page = page_of(tmp_path, selection)
    assert selection.passed
    assert "\u2713 PASS All 2 rules passed. That is leave to trade, not a promise of profit." in page.text
    assert "\u2717" not in page.text


def test_an_override_is_said_before_anything_else(tmp_path):
    selection = msgspec.structs.replace(selection_sample(), override="a small stake of my own")
    text = page_of(tmp_path, selection).text
    override = text.index("OVERRIDDEN This ensemble was promoted although its verdict is FAIL")
    assert override < text.index("a small stake of my own") < text.index("14 of 21 rules failed; it was promoted")
    assert "must not trade" not in text


def test_the_table_of_rules_reads_back_to_the_rules(tmp_path):
    selection = selection_sample()
    rows = page_of(tmp_path, selection).table("rule", "found", "limit")
    assert len(rows) == len(selection.rules) == 21
    for row, rule in zip(rows, selection.rules, strict=True):
        assert rule.meaning in row[0]
        assert shows(row[1], rule.value), rule.rule
        assert ("undefined" in row[1]) is (rule.value is None)
        assert shows(row[2], rule.limit), rule.rule
        assert row[2].startswith("\u2265" if rule.sense == "at_least" else "\u2264")
        assert row[3] == ("\u2713 PASS" if rule.passed else "\u2717 FAIL")


def test_a_figure_just_short_of_its_limit_is_not_shown_as_its_equal(tmp_path):
    selection = selection_sample()
    rule = msgspec.structs.replace(selection.rules[0], value=1.49999, limit=1.5, passed=False)
    rows = page_of(tmp_path, msgspec.structs.replace(selection, rules=(rule,))).table("rule", "found", "limit")
    assert rows[0][1:] == ["1.49999", "\u2265 1.50", "\u2717 FAIL"]


def test_every_model_is_in_the_table_of_models(tmp_path):
    selection = selection_sample()
    rows = {row[-1]: row for row in page_of(tmp_path, selection).table("candidate", "seed", "fold")}
    assert len(rows) == 120
    for trial in selection.trials:
        row = rows[trial.trial_id]
        assert row[:3] == [trial.candidate, str(trial.seed), str(trial.fold)]
        values = (
            trial.validation_sharpe, trial.sharpe, trial.total_return, trial.max_drawdown, trial.win_rate,
            trial.profit_factor, trial.round_trips, trial.fees, trial.break_even_fee_bps,
        )  # fmt: skip
        assert all(shows(cell, value) for cell, value in zip(row[3:12], values, strict=True)), row


def test_medians_and_worst_of_the_dispersion_are_those_of_its_rows(tmp_path):
    selection = selection_sample()
    page = page_of(tmp_path, selection)
    rows = page.table("candidate and seed", "fold 1")
    by_seed: dict[str, list[float]] = {}
    for trial in selection.trials:
        by_seed.setdefault(f"{trial.candidate} \u00b7 seed {trial.seed}", []).append(trial.sharpe)
    assert {row[0] for row in rows} == set(by_seed)
    for name, *cells, middle, worst in rows:
        assert all(shows(cell, value) for cell, value in zip(cells, by_seed[name], strict=True))
        assert shows(middle, float(np.median(by_seed[name])))
        assert shows(worst, min(by_seed[name]))
    ppo = [trial.sharpe for trial in selection.trials if trial.candidate == "ppo-3fa2c1"]
    found = re.search(r"ppo-3fa2c1 30 models, median (\S+), worst (\S+)", page.text)
    assert shows(found.group(1), float(np.median(ppo)))
    assert shows(found.group(2), min(ppo))
    dots = [attrs for tag, attrs in page.drawn if tag == "circle" and "dot" in attrs["class"] and "cx" in attrs]
    assert sum("worst" in attrs["class"] for attrs in dots) == 4, "one a candidate"


def test_returns_by_fold_compound_to_what_the_curve_made(tmp_path):
    selection = selection_sample()
    rows = page_of(tmp_path, selection).table("curve", "fold 1")
    assert len(rows) == len(selection.curves)
    assert rows[0][0] == "ensemble"
    ends = {curve.name.replace("_", " "): curve.equity[-1] for curve in selection.curves if curve.kind != "seed"}
    ends |= {curve.name: curve.equity[-1] for curve in selection.curves if curve.kind == "seed"}
    for name, *folds, total, _ in rows:
        assert shows(total, ends[name] - 1.0)
        assert math.prod(1.0 + number(cell) for cell in folds) == pytest.approx(ends[name], rel=0.005)


def test_the_bins_of_a_histogram_hold_every_value_and_tell_the_same_probability(tmp_path):
    selection = selection_sample()
    page = page_of(tmp_path, selection)
    logits, sharpes = [rows[1:] for rows in page.tables if rows[0] == ["above", "up to", "count"]]
    luck = selection.overfitting
    assert sum(number(row[2]) for row in logits) == len(luck.logits) == luck.splits == 924
    assert sum(number(row[2]) for row in logits if number(row[1]) <= 0.0) / 924 == pytest.approx(luck.pbo)
    assert sum(number(row[2]) for row in sharpes) == len(luck.trial_sharpes)
    assert f"{luck.trials} of which {luck.abandoned} abandoned" in page.text


def test_a_logit_of_zero_is_counted_in_the_lower_half():
    counted = histogram([-1.0, 0.0, 0.0, 0.7, 1.0], alt="")
    below = [count for right, count in zip(counted.edges[1:], counted.counts, strict=True) if right <= 0.0]
    assert (sum(below), sum(counted.counts)) == (3, 5)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sharpe", "0.25"), ("over_buy_and_hold", "0.25"), ("member_correlation", "0.25"), ("sharpe_error", "0.25"),
        ("profit_factor", "0.25"), ("trades_a_month", "0.25"), ("break_even_fee_bps", "0.25 bps"), ("fees", "0.25"),
        ("double_cost_return", "25.00%"), ("max_drawdown", "25.00%"), ("win_rate", "25.00%"), ("pbo", "25.00%"),
        ("profitable_folds", "25.00%"), ("deflated_sharpe", "25.00%"), ("over_random", "25.00%"),
        ("calibration_error", "25.00%"), ("round_trips", "0"),
    ],
)  # fmt: skip
def test_a_figure_is_shown_in_its_unit(name, shown):
    assert figure_text(name, 0.25) == shown


def test_the_remaining_tables_read_back_to_the_selection(tmp_path):
    selection = selection_sample()
    page = page_of(tmp_path, selection)
    for row, values in zip(page.table("member", "1", "2"), selection.correlation, strict=True):
        assert all(shows(cell, value) for cell, value in zip(row[1:], values, strict=True))
    for row, stress in zip(page.table("costs"), selection.stress, strict=True):
        assert row[0] == f"{stress.multiple:g}\u00d7"
        values = (stress.total_return, stress.sharpe, stress.max_drawdown)
        assert all(shows(cell, value) for cell, value in zip(row[1:], values, strict=True))
    for row, regime in zip(page.table("regime"), selection.regimes, strict=True):
        assert row[0] == regime.regime
        values = (regime.days, regime.total_return, regime.sharpe)
        assert all(shows(cell, value) for cell, value in zip(row[1:], values, strict=True))
    for row, baseline in zip(page.table("", "return", "a year")[1:], selection.baselines, strict=True):
        values = (baseline.total_return, baseline.annualised_return, baseline.sharpe, baseline.max_drawdown)
        assert all(shows(cell, value) for cell, value in zip(row[1:], values, strict=True))
    for row in page.table("figure", "out of sample", "holdout"):
        name = {"Sharpe": "sharpe"}.get(row[0], row[0].replace(" ", "_"))
        assert shows(row[1], selection.figures[name])
        assert shows(row[2], selection.holdout[name])
    for row, member in zip(page.table("no.", "candidate"), selection.members, strict=True):
        assert shows(row[4], member.validation_sharpe)
        assert shows(row[6], member.calibration.error)
        assert row[7:] == [member.model_id, member.sha256[:16]]


def test_the_folds_are_drawn_to_the_scale_of_the_calendar(tmp_path):
    selection = selection_sample()
    drawn = [a for tag, a in page_of(tmp_path, selection).drawn if tag == "rect" and a["class"].startswith("span ")]
    kinds = [attrs["class"].removeprefix("span ") for attrs in drawn]
    assert kinds == ["gap", "gap", "fit", "validation", "test"] * 6 + ["holdout"]
    seconds = [datetime.fromisoformat(text).timestamp() for fold in selection.folds for text in fold.test]
    left = [float(a["x"][:-1]) for a, kind in zip(drawn, kinds, strict=True) if kind == "test"]
    width = [float(a["width"][:-1]) for a, kind in zip(drawn, kinds, strict=True) if kind == "test"]
    day = width[0] / 75.0
    assert np.allclose(width, 75.0 * day, atol=0.011)
    assert np.allclose(np.array(left) - left[0], (np.array(seconds[::2]) - seconds[0]) / 86_400 * day, atol=0.03)


def test_the_curves_are_drawn_seeds_below_and_the_ensemble_on_top(tmp_path):
    selection = selection_sample()
    panel = page_of(tmp_path, selection).charts["equity"]
    styles = [line["style"].split()[0] for line in panel["lines"]]
    assert styles == ["seed"] * 20 + ["dashed"] * 3 + ["own"]
    own = panel["lines"][-1]
    midnight = datetime.fromisoformat(selection.folds[0].test[0]).timestamp()
    assert own["t"][0] == midnight, "the account of 1 stands at the beginning of the first test range"
    assert own["v"] == pytest.approx(selection.curves[0].equity, rel=1e-4)
    assert [border["t"] for border in panel["borders"]] == [midnight + 75 * 86_400 * i for i in range(6)]


def test_a_page_is_well_formed_and_needs_nothing_but_itself(tmp_path):
    page = page_of(tmp_path, selection_sample())
    assert len(page.ids) == len(set(page.ids))
    assert page.described == 14
    assert not re.search(r"(?:src|href)\s*=|@import|url\((?!#)", page.source), "no other file, no network"
    assert re.findall(r"https?://[^\"' ]+", page.source) == ["http://www.w3.org/2000/svg"], "a name, not an address"


SAMPLE = selection_sample(folds=2)
WORDS_OF_OURS = r"\d{4}-\d\d-\d\dT.*|ensemble|seed|baseline|at_least|at_most"


def planted(value: object) -> object:
    """Return the same with markup before every text that is not a time or one of the few words that are allowed."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value)
        return msgspec.structs.replace(value, **{name: planted(field) for name, field in fields.items()})
    if isinstance(value, dict):
        return {name if name in {"start", "end"} else HOSTILE + name: planted(field) for name, field in value.items()}
    if isinstance(value, tuple):
        return tuple(planted(item) for item in value)
    return HOSTILE + value if isinstance(value, str) and not re.fullmatch(WORDS_OF_OURS, value) else value


def test_names_are_shown_as_text_not_as_markup(tmp_path):
    page = page_of(tmp_path, planted(SAMPLE))
    assert "<script>alert" not in page.source
    assert page.text.count("<script>alert(1)</script>") > 100, "they are all shown"
    assert page.source.count("<script") == 2


def variants() -> Iterator[tuple[str, Selection]]:
    new = msgspec.structs.replace
    yield "no holdout", new(SAMPLE, holdout={})
    yield "one member", new(SAMPLE, members=SAMPLE.members[:1], correlation=((1.0,),))
    yield "one fold", selection_sample(folds=1)
    yield "nothing at all", new(
        SAMPLE, instruments=(), folds=(), trials=(), members=(), correlation=(), figures={}, rules=(), curves=(),
        baselines=(), regimes=(), stress=(), holdout={},
        overfitting=new(
            SAMPLE.overfitting, sharpe=None, trials=0, abandoned=0, trial_sharpes=(), expected_max_sharpe=None,
            deflated_sharpe=None, pbo=None, splits=0, logits=(),
        ),
    )  # fmt: skip
    for nothing in (None, math.nan, math.inf, -math.inf):
        yield (
            f"figures of {nothing}",
            new(
                SAMPLE,
                figures=dict.fromkeys(SAMPLE.figures, nothing),
                holdout=SAMPLE.holdout | {"total_return": nothing, "sharpe": nothing},
                rules=tuple(new(rule, value=nothing, passed=False) for rule in SAMPLE.rules),
                trials=tuple(new(t, sharpe=nothing, win_rate=nothing, profit_factor=nothing) for t in SAMPLE.trials),
                members=tuple(new(m, calibration=None, validation_sharpe=nothing) for m in SAMPLE.members),
                correlation=tuple(tuple(nothing for _ in row) for row in SAMPLE.correlation),
                regimes=tuple(new(row, sharpe=nothing) for row in SAMPLE.regimes),
                overfitting=new(
                    SAMPLE.overfitting,
                    sharpe=nothing,
                    expected_max_sharpe=nothing,
                    deflated_sharpe=nothing,
                    pbo=nothing,
                ),
            ),
        )
    calibration = new(SAMPLE.members[0].calibration, before=None, error=None, bins=())
    yield "no votes", new(SAMPLE, members=tuple(new(m, calibration=calibration) for m in SAMPLE.members))
    yield "equal logits", new(SAMPLE, overfitting=new(SAMPLE.overfitting, logits=(0.0,) * 9, trial_sharpes=(1.0,)))
    ruined = tuple(new(curve, equity=(1.0, *(0.0 for _ in curve.equity[1:]))) for curve in SAMPLE.curves)
    yield "ruined curves", new(SAMPLE, curves=ruined)
    yield "an empty curve", new(SAMPLE, curves=(new(SAMPLE.curves[0], days=(), equity=()),))
    yield "another time zone", new(SAMPLE, created="2024-07-02T08:15:00+02:00", holdout={"start": "?", "end": None})


@pytest.mark.parametrize(("selection"), [pytest.param(case, id=name) for name, case in variants()])
def test_what_is_absent_is_a_dash_or_a_sentence_never_a_none(tmp_path, selection):
    page = page_of(tmp_path, selection)
    shown = page.text + " ".join(" ".join(attrs.values()) for _, attrs in page.drawn)
    assert not re.search(r"\b(?:nan|none|inf|infinity)\b", shown.replace("None was replayed", ""), re.IGNORECASE)


def test_hundreds_of_models_over_many_folds_make_a_page_that_opens(tmp_path):
    page = page_of(tmp_path, selection_sample(folds=40))
    assert len(page.table("candidate", "seed", "fold")) == 800
    assert len(page.source) < 4_000_000


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 24))
def test_ticks_are_evenly_spaced_round_and_inside(low, size, most):
    scale = Scale(low, low + size)
    if not scale.high > scale.low + abs(low) * 1e-9:
        return
    found = ticks(scale, most)
    step = np.diff(found)
    assert len(found) <= most + 1
    assert np.allclose(step, step[0] if len(step) else 0.0, rtol=1e-3)
    slack = (scale.high - scale.low) * 1e-6
    assert all(scale.low - slack <= value <= scale.high + slack for value in found)
