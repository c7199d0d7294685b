"""The tables of a selection: every number of its pictures, and those that have none."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import median

import numpy as np

from adapters.report_shell import seconds_of, shown_day
from adapters.report_tables import bps, known, money, percent, ratio, table, tone
from adapters.selection_charts import Histogram
from core.selection import (
    Calibrated,
    Curve,
    FoldSpan,
    Member,
    RegimeRow,
    RuleResult,
    Selection,
    StressRow,
    TrialRow,
)

__all__ = [
    "baselines_table",
    "bins_table",
    "correlation_table",
    "curves_table",
    "dispersion_table",
    "figure_text",
    "figures_table",
    "folds_table",
    "histogram_table",
    "members_table",
    "regimes_table",
    "rules_table",
    "stress_table",
    "trials_table",
    "words",
]

_SHARES = re.compile(
    r"return$|drawdown$|rate$|folds$|volatility$|exposure$|^deflated_sharpe$|^pbo$|^over_random$|^calibration_error$"
)
"""Names of figures that are fractions, shown as per cent."""
_MONEY = re.compile(r"^(fees|funding|.*_costs|.*_equity|notional)$")
_COUNTS = re.compile(r"^(round_trips|decisions|orders|fills|days|bars)$")
_SPELT = {"sharpe": "Sharpe", "sortino": "Sortino", "calmar": "Calmar", "pbo": "PBO"}
_SENSES = {"at_least": "\u2265", "at_most": "\u2264"}
_DAY = 86_400


def words(name: str) -> str:
    """Return the name of a figure as people write it.

    Examples
    --------
    >>> words("worst_seed_sharpe"), words("break_even_fee_bps")
    ('worst seed Sharpe', 'break even fee')
    """
    return " ".join(_SPELT.get(word, word) for word in name.removesuffix("_bps").replace("-", " ").split("_"))


def figure_text(name: str, value: float | None, *, digits: int = 2) -> str:
    """Return a figure in the unit that its name tells: per cent for fractions, basis points, money, or a number."""
    if name.endswith("_bps"):
        return bps(value)
    if _SHARES.search(name):
        return percent(value, digits)
    if _MONEY.search(name):
        return money(value)
    return ratio(value, 0 if _COUNTS.search(name) else digits)


def rules_table(rules: Sequence[RuleResult]) -> str:
    """Return every rule with what was found, its limit and its verdict."""
    rows = []
    for rule in rules:
        found, limit = figure_text(rule.rule, rule.value), figure_text(rule.rule, rule.limit)
        if found == limit and rule.value != rule.limit:
            found = figure_text(rule.rule, rule.value, digits=5)
        verdict = (
            '<td class="verdict pass">\u2713 PASS</td>' if rule.passed else '<td class="verdict fail">\u2717 FAIL</td>'
        )
        rows.append(
            f'<tr><th scope="row"><span>{escape(words(rule.rule))}</span> <small>{escape(rule.meaning)}</small></th>'
            f"{_n(found if known(rule.value) else 'undefined')}{_n(f'{_SENSES[rule.sense]} {limit}')}{verdict}</tr>"
        )
    return table(_head("rule", ".found", ".limit", "verdict"), rows)


def folds_table(folds: Sequence[FoldSpan]) -> str:
    """Return the dates of every fold."""
    rows = [
        f'<tr><th scope="row">{fold.number}</th>{_span(fold.fit)}{_span(fold.validation)}{_span(fold.test)}</tr>'
        for fold in folds
    ]
    return _wide(table(_head("fold", "fit", "validation", "test"), rows))


def curves_table(curves: Sequence[Curve], folds: Sequence[FoldSpan]) -> str:
    """Return what every curve made in each fold and in all, and its deepest drawdown."""
    order = {"ensemble": 0, "baseline": 1, "seed": 2}
    returns = {id(curve): [_between(curve, fold.test) for fold in folds] for curve in curves}
    strongest = _strongest(value for row in returns.values() for value in row)
    rows = []
    for curve in sorted(curves, key=lambda curve: order[curve.kind]):
        equity = np.asarray((1.0, *curve.equity))
        drawdown = float(np.max(1.0 - equity / np.maximum.accumulate(equity)))
        total = float(equity[-1]) - 1.0
        cells = "".join(_heat(value, strongest, percent(value, 1, sign=True)) for value in returns[id(curve)])
        rows.append(
            f'<tr><th scope="row">{escape(words(curve.name) if curve.kind == "baseline" else curve.name)}</th>{cells}'
            f"{_n(percent(total, 1, sign=True), tone(total))}{_n(percent(drawdown, 1))}</tr>"
        )
    head = _head("curve", *(f"=fold {fold.number}" for fold in folds), ".in all", ".drawdown")
    return _wide(table(head, rows), "heat tight")


def histogram_table(counted: Histogram) -> str:
    """Return the bins of a histogram that hold anything."""
    rows = [
        f"<tr>{_n(ratio(left))}{_n(ratio(right))}{_n(f'{count:,}')}</tr>"
        for left, right, count in zip(counted.edges[:-1], counted.edges[1:], counted.counts, strict=True)
        if count
    ]
    return table(_head(".above", ".up to", ".count"), rows)


def dispersion_table(trials: Sequence[TrialRow]) -> str:
    """Return the Sharpe ratio by candidate and seed (down) and fold (across); the worst of a candidate is framed."""
    folds = sorted({trial.fold for trial in trials})
    strongest = _strongest(trial.sharpe for trial in trials)
    by_row: dict[tuple[str, int], dict[int, float | None]] = {}
    for trial in trials:
        by_row.setdefault((trial.candidate, trial.seed), {})[trial.fold] = trial.sharpe
    worst = {
        candidate: min(
            (value for (name, _), row in by_row.items() if name == candidate for value in row.values() if known(value)),
            default=None,
        )
        for candidate, _ in by_row
    }
    rows = []
    for candidate, seed in sorted(by_row):
        row = by_row[candidate, seed]
        cells = "".join(
            _heat(row.get(fold), strongest, ratio(row.get(fold)), framed=row.get(fold) == worst[candidate])
            for fold in folds
        )
        own = [value for value in row.values() if known(value)]
        rows.append(
            f'<tr><th scope="row">{escape(candidate)} \u00b7 seed {seed}</th>{cells}'
            f"{_n(ratio(median(own) if own else None))}{_n(ratio(min(own, default=None)))}</tr>"
        )
    head = _head("candidate and seed", *(f"=fold {fold}" for fold in folds), ".median", ".worst")
    return _wide(table(head, rows), "heat tight")


def members_table(members: Sequence[Member]) -> str:
    """Return the members with their artifacts."""
    rows = []
    for number, member in enumerate(members, start=1):
        calibration = member.calibration
        before, after = (calibration.before, calibration.error) if calibration else (None, None)
        rows.append(
            f'<tr><th scope="row">{number}</th><td>{escape(member.candidate)}</td><td>{escape(member.algorithm)}</td>'
            f"{_n(str(member.seed))}{_n(ratio(member.validation_sharpe))}{_n(percent(before, 1))}"
            f"{_n(percent(after, 1))}"
            f"<td>{escape(member.model_id)}</td><td><code>{escape(member.sha256[:16])}</code></td></tr>"
        )
    head = _head(
        "no.", "candidate", "algorithm", ".seed", ".validation Sharpe", ".ECE before", ".ECE after", "model", "SHA-256"
    )
    return _wide(table(head, rows), "roomy")


def bins_table(calibration: Calibrated) -> str:
    """Return the bins of a reliability diagram."""
    rows = [
        f"<tr>{_n(f'{item.count:,}')}{_n(percent(item.confidence, 1))}{_n(percent(item.hit_rate, 1))}</tr>"
        for item in calibration.bins
        if item.count
    ]
    return table(_head(".votes", ".confidence", ".right"), rows)


def correlation_table(members: Sequence[Member], correlation: Sequence[Sequence[float]]) -> str:
    """Return the correlation of the members' returns as a heat map, members by their number."""
    rows = []
    for number, (member, values) in enumerate(zip(members, correlation, strict=True), start=1):
        cells = "".join(_heat(value, 1.0, ratio(value)) for value in values)
        rows.append(
            f'<tr><th scope="row">{number} {escape(member.candidate)} \u00b7 seed {member.seed}</th>{cells}</tr>'
        )
    return _wide(table(_head("member", *(f"={number + 1}" for number in range(len(members)))), rows), "heat tight")


def stress_table(stress: Sequence[StressRow]) -> str:
    """Return the ensemble at multiples of its costs."""
    rows = [
        f'<tr><th scope="row">{row.multiple:g}\u00d7</th>{_return(row.total_return)}{_n(ratio(row.sharpe))}'
        f"{_n(percent(row.max_drawdown))}</tr>"
        for row in sorted(stress, key=lambda row: row.multiple)
    ]
    return table(_head("costs", ".return", ".Sharpe", ".drawdown"), rows)


def regimes_table(regimes: Sequence[RegimeRow]) -> str:
    """Return the ensemble by regime."""
    rows = [
        f'<tr><th scope="row">{escape(row.regime)}</th>{_n(f"{row.days:,}")}{_return(row.total_return)}'
        f"{_n(ratio(row.sharpe))}</tr>"
        for row in regimes
    ]
    return table(_head("regime", ".days", ".return", ".Sharpe"), rows)


def baselines_table(selection: Selection) -> str:
    """Return the ensemble above what anybody could have done."""
    figures = selection.figures
    rows = [
        _compared(
            "ensemble", figures.get("total_return"), figures.get("annualised_return"), figures.get("sharpe"),
            figures.get("max_drawdown"),
        )
    ]  # fmt: skip
    rows += [
        _compared(words(row.name), row.total_return, row.annualised_return, row.sharpe, row.max_drawdown)
        for row in selection.baselines
    ]
    return _wide(table(_head("", ".return", ".a year", ".Sharpe", ".drawdown"), rows), "first")


def figures_table(figures: Mapping[str, float | None], beside: Mapping[str, float | None] | None = None) -> str:
    """Return figures out of sample; those of the holdout ``beside`` them, where it is given, and no others."""
    rows = [
        f'<tr><th scope="row">{escape(words(name))}</th>{_n(figure_text(name, figures.get(name)))}'
        f"{'' if beside is None else _n(figure_text(name, beside[name]))}</tr>"
        for name in (figures if beside is None else beside)
    ]
    return table(_head("figure", ".out of sample", *([] if beside is None else [".holdout"])), rows)


def trials_table(trials: Sequence[TrialRow]) -> str:
    """Return every trial, by candidate, seed and fold."""
    rows = [
        f'<tr><th scope="row">{escape(trial.candidate)}</th>{_n(str(trial.seed))}{_n(str(trial.fold))}'
        f"{_n(ratio(trial.validation_sharpe))}{_n(ratio(trial.sharpe))}{_return(trial.total_return)}"
        f"{_n(percent(trial.max_drawdown))}{_n(percent(trial.win_rate, 1))}{_n(ratio(trial.profit_factor))}"
        f"{_n(f'{trial.round_trips:,}')}{_n(money(trial.fees))}{_n(bps(trial.break_even_fee_bps))}"
        f"<td>{escape(trial.algorithm)}</td><td><code>{escape(trial.trial_id)}</code></td></tr>"
        for trial in sorted(trials, key=lambda trial: (trial.candidate, trial.seed, trial.fold))
    ]
    head = _head(
        "candidate", ".seed", ".fold", ".validation Sharpe", ".test Sharpe", ".return", ".drawdown", ".win rate",
        ".profit factor", ".trips", ".fees", ".break-even", "algorithm", "trial",
    )  # fmt: skip
    return _wide(table(head, rows), "roomy")


def _head(*names: str) -> str:
    """Return heads of columns; a dot before the name puts it to the right, an equals sign in the middle."""
    classes = {".": ' class="n"', "=": ' class="c"'}
    return "".join(f'<th scope="col"{classes.get(name[:1], "")}>{escape(name.lstrip(".="))}</th>' for name in names)


def _n(text: str, style: str = "") -> str:
    return f'<td class="{f"n {style}".strip()}">{text}</td>'


def _return(value: float | None) -> str:
    return _n(percent(value, sign=True), tone(value))


def _compared(name: str, *values: float | None) -> str:
    total, annual, sharpe, drawdown = values
    return (
        f'<tr><th scope="row">{escape(name)}</th>{_return(total)}{_return(annual)}{_n(ratio(sharpe))}'
        f"{_n(percent(drawdown))}</tr>"
    )


def _span(span: tuple[str, str]) -> str:
    days = (seconds_of(span[1]) - seconds_of(span[0])) / _DAY
    return f"<td>{shown_day(span[0])} \u2013 {shown_day(span[1])}<small>{days:,.0f} days</small></td>"


def _strongest(values: Iterable[float | None]) -> float:
    return max((abs(value) for value in values if known(value)), default=1.0) or 1.0


def _heat(value: float | None, strongest: float, text: str, *, framed: bool = False) -> str:
    if not known(value):
        return '<td class="c">\u2013</td>'
    direction = "" if value == 0.0 else " up" if value > 0.0 else " down"
    frame = " framed" if framed else ""
    return f'<td class="c{direction}{frame}" style="--v:{abs(value) / strongest:.3f}">{text}</td>'


def _between(curve: Curve, test: tuple[str, str]) -> float | None:
    """Return what a curve made from one time to another; ``None`` where it has no close between them."""
    closes = (np.asarray(curve.days, dtype=np.int64) + 1) * _DAY
    start, end = map(seconds_of, test)
    first, last = int(np.searchsorted(closes, start, side="right")), int(np.searchsorted(closes, end, side="right"))
    if first == last:
        return None
    before = curve.equity[first - 1] if first else 1.0
    return curve.equity[last - 1] / before - 1.0 if before else None


def _wide(markup: str, style: str = "") -> str:
    return f'<div class="wide {style}" tabindex="0">{markup}</div>'
