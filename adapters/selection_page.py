"""The verdict on a study as one HTML page: pass or fail first, then everything that the verdict rests on."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from adapters import selection_charts as charts
from adapters import selection_tables as tables
from adapters.report_plot import around, figure
from adapters.report_shell import html_page, shown_day
from adapters.report_tables import known, money, percent, ratio, tone
from core.selection import BaselineRow, Member, Selection

__all__ = ["render_selection"]

_FEW_ROWS = 12
"""Rows up to which a table of trials stands open."""


def render_selection(selection: Selection) -> str:
    """Return the page."""
    panel = charts.equity_panel(selection)
    body = "".join(
        (
            _verdict(selection),
            _care(selection),
            _rules(selection),
            _holdout(selection),
            _folds(selection),
            _equity(selection, panel),
            _luck(selection),
            _dispersion(selection),
            _members(selection),
            _conditions(selection),
            _trials(selection),
        )
    )
    title = f"{'PASS' if selection.passed else 'FAIL'} {selection.study}"
    styles = ("report_page.css", "selection_page.css")
    return html_page(title=title, body=body, styles=styles, charts={"equity": panel} if panel["lines"] else {})


def _verdict(selection: Selection) -> str:
    """Return the verdict, what it means, and the ensemble beside cash and holding."""
    failed = sum(not rule.passed for rule in selection.rules)
    word, style, glyph = ("PASS", "pass", "\u2713") if selection.passed else ("FAIL", "fail", "\u2717")
    override = ""
    if selection.override:
        override = (
            f'<p class="badge override"><b>OVERRIDDEN</b> This ensemble was promoted although its verdict is {word}. '
            f"Reason given: {escape(selection.override)}</p>"
        )
    names = escape(", ".join(selection.instruments))
    return f"""{override}<p class="eyebrow"><b>{names}</b> \u00b7 {_provenance(selection)}</p>
<div class="verdict-line"><p class="stamp {style}"><span aria-hidden="true">{glyph}</span> {word}</p>
<div><h1>{_sentence(selection, failed)}</h1>
<p class="note">Golden rule, profile <b>{escape(selection.profile)}</b>. All figures are out of sample, after all
costs.</p></div></div>
{_results(selection)}
"""


def _sentence(selection: Selection, failed: int) -> str:
    count = len(selection.rules)
    if not count:
        return "No rule was judged: nothing is known of this ensemble."
    if selection.passed:
        return f"All {count} rules passed. That is leave to trade, not a promise of profit."
    fate = "it was promoted all the same" if selection.override else "this ensemble must not trade real money"
    return f"{failed} of {count} rules failed; {fate}."


def _provenance(selection: Selection) -> str:
    kind = "anchored" if selection.anchored else "rolling"
    facts = (
        f"study {selection.study}",
        f"judged {shown_day(selection.created)}",
        f"{selection.decision_interval} decisions from {selection.base_interval} bars",
        f"{len(selection.folds)} {kind} {_plural('fold', len(selection.folds))}",
        f"purge {selection.purge_bars:,} and embargo {selection.embargo_bars:,} bars",
        f"{selection.overfitting.trials:,} {_plural('trial', selection.overfitting.trials)}",
    )
    return " \u00b7 ".join(escape(fact) for fact in facts)


def _results(selection: Selection) -> str:
    figures, held, luck = selection.figures, _holding(selection), selection.overfitting
    total, sharpe, drawdown = (figures.get(name) for name in ("total_return", "sharpe", "max_drawdown"))
    theirs = (held.total_return, held.sharpe, held.max_drawdown) if held else (None, None, None)
    cells = (
        (
            "Return",
            tone(total),
            percent(total, 1, sign=True),
            f"flat 0.0% \u00b7 {_hold(percent(theirs[0], 1, sign=True))}",
        ),
        ("Sharpe ratio", tone(sharpe), ratio(sharpe), f"flat \u2013 \u00b7 {_hold(ratio(theirs[1]))}"),
        ("Deepest drawdown", "", percent(drawdown, 1), f"flat 0.0% \u00b7 {_hold(percent(theirs[2], 1))}"),
        (
            "Deflated Sharpe ratio",
            "",
            percent(luck.deflated_sharpe, 0),
            f"confidence that it is not luck, after {luck.trials:,} {_plural('trial', luck.trials)}",
        ),
    )
    shown = "".join(
        f'<div><dt>{name}</dt><dd class="{style}">{value}</dd><dd><small>{note}</small></dd></div>\n'
        for name, style, value, note in cells
    )
    return f'<dl class="results">\n{shown}</dl>'


def _hold(shown: str) -> str:
    return f"buy and hold {shown}"


def _holding(selection: Selection) -> BaselineRow | None:
    return next((row for row in selection.baselines if {"buy", "hold"} <= set(tables.words(row.name).split())), None)


def _care(selection: Selection) -> str:
    """Return what a sceptic would say, strongest first."""
    figures, luck, held = selection.figures, selection.overfitting, _holding(selection)
    total, remarks = figures.get("total_return"), []
    if known(luck.pbo) and luck.pbo >= 0.5:
        remarks.append(
            f"Choosing the best of these trials was no better than drawing lots: in {percent(luck.pbo, 0)} of the "
            f"splits it came out in the lower half."
        )
    if known(luck.sharpe) and known(luck.expected_max_sharpe) and luck.sharpe < luck.expected_max_sharpe:
        remarks.append(
            f"The best of {luck.trials:,} trials without any skill is expected to show a Sharpe ratio of "
            f"{ratio(luck.expected_max_sharpe)}; the ensemble shows {ratio(luck.sharpe)}."
        )
    doubled = [row.total_return for row in selection.stress if row.multiple == 2.0]
    if known(total) and total > 0.0 and doubled and doubled[0] < 0.0:
        remarks.append("The profit does not survive twice the costs.")
    if known(total) and held is not None and held.total_return > total > 0.0:
        remarks.append(f"Buying and holding made {percent(held.total_return, 1)}, more than the ensemble did.")
    losing = sum(trial.total_return < 0.0 for trial in selection.trials)
    if losing * 2 >= len(selection.trials) > 0:
        remarks.append(f"{losing:,} of {len(selection.trials):,} models lost money by themselves.")
    if luck.abandoned:
        remarks.append(
            f"{luck.abandoned:,} {_plural('trial', luck.abandoned)} gave no figure; the count of trials includes them."
        )
    if 0 < len(selection.folds) < 4:
        remarks.append(
            f"Only {len(selection.folds)} {_plural('fold', len(selection.folds))}: few stretches of one market."
        )
    if not selection.holdout:
        remarks.append("No holdout was replayed: every range has been seen by some choice.")
    if not remarks:
        return ""
    items = "".join(f"<li>{remark}</li>" for remark in remarks)
    return f'<aside class="care"><h3>Read with care</h3><ul>{items}</ul></aside>\n'


def _rules(selection: Selection) -> str:
    if not selection.rules:
        return _section("The golden rule", "", _nothing("No rule was judged."))
    note = (
        "The ensemble out of sample against every rule of the profile. What is undefined fails: what cannot be "
        "measured cannot be trusted."
    )
    return _section("The golden rule", note, f'<div class="rules">{tables.rules_table(selection.rules)}</div>')


def _holdout(selection: Selection) -> str:
    holdout, figures = selection.holdout, selection.figures
    whole = f"<details><summary>All figures out of sample</summary>{tables.figures_table(figures)}</details>"
    if not holdout:
        said = "None was replayed. Until one is, no figure on this page comes from a range that no choice has seen."
        return f'<section class="honesty spaced"><h2>Holdout</h2><p>{said}</p>{whole}</section>\n'
    numbers = {name: value for name, value in holdout.items() if not isinstance(value, str)}
    total = numbers.get("total_return")
    made = f"; there the ensemble {'made' if total >= 0.0 else 'lost'} {percent(abs(total), 1)}" if known(total) else ""
    span = f"{shown_day(holdout.get('start'))} \u2013 {shown_day(holdout.get('end'))}"
    return f"""<section class="honesty spaced"><h2>Holdout: {span}</h2>
<p>No choice has seen this range{made}.</p>{tables.figures_table(figures, numbers)}{whole}</section>
"""


def _folds(selection: Selection) -> str:
    if not selection.folds:
        return _section("Folds", "", _nothing("There is no fold."))
    keys = [("fit", "fit"), ("gap", "purge and embargo"), ("validation", "validation"), ("test", "test")]
    if selection.holdout.get("start"):
        keys.append(("holdout", "holdout"))
    kind = "Anchored: every fold fits from the first day on." if selection.anchored else "Rolling: the fit moves along."
    note = f"{kind} Models stop early and are chosen on validation; a test range is replayed once, by the engine."
    picture = charts.folds_picture(selection)
    return _section("Folds", note, figure("Calendar", picture, keys=keys, table=tables.folds_table(selection.folds)))


def _equity(selection: Selection, panel: Mapping[str, Any]) -> str:
    title = "Equity out of sample"
    if not panel["lines"]:
        return _section(title, "", _nothing("There is no curve."))
    named = [(number, line) for number, line in enumerate(panel["lines"]) if line["style"] != "seed"]
    keys = "".join(
        f'<span class="key {line["style"]}">{escape(line["name"])} <span data-line="{number}"></span></span>'
        for number, line in (*named[-1:], *named[:-1])
    )
    seeds = len(panel["lines"]) - len(named)
    if seeds:
        keys += f'<span class="key seed">{seeds:,} {_plural("seed", seeds)}</span>'
    steps = "logarithmic" if panel.get("log") else "linear"
    note = (
        f"What 1 became over the test ranges of all folds, one after the other ({steps} scale); upright lines are "
        f"borders of folds. Drag to zoom, double-click to zoom out."
    )
    alt = escape(f"Equity of the ensemble, {seeds} seeds and the baselines over all test ranges; figures in the table")
    return _section(
        title,
        note,
        f'<figure data-chart="equity"><figcaption>{keys}<time></time></figcaption>'
        f'<div class="plot high" role="img" aria-label="{alt}"></div>'
        f"<details><summary>Returns by fold</summary>"
        f"{tables.curves_table(selection.curves, selection.folds)}</details></figure>",
        name="equity",
    )


def _luck(selection: Selection) -> str:
    luck = selection.overfitting
    logits = [value for value in luck.logits if known(value)]
    sharpes = [value for value in luck.trial_sharpes if known(value)]
    left = right = ""
    if logits:
        below = sum(value <= 0.0 for value in logits)
        alt = f"Histogram of {len(logits)} logits, {below} of them at or below 0"
        counted = charts.histogram(logits, alt=alt, split=True, marks=[("zero", 0.0)])
        left = figure(
            "Rank of the best in sample, out of sample",
            counted.picture,
            keys=[("loss", "lower half"), ("gain", "upper half")],
            table=tables.histogram_table(counted),
            note=f"Logit of the rank in each of {luck.splits:,} splits of the days; 0 is the median.",
        )
    if sharpes:
        marks = [("expected", luck.expected_max_sharpe), ("own", luck.sharpe)]
        names = {"expected": "best by luck", "own": "ensemble"}
        shown = [(style, value) for style, value in marks if known(value)]
        alt = f"Histogram of the Sharpe ratios of {len(sharpes)} trials; " + ", ".join(
            f"{names[style]} {ratio(value)}" for style, value in shown
        )
        counted = charts.histogram(sharpes, alt=alt, marks=shown)
        right = figure(
            "Sharpe ratios of all trials",
            counted.picture,
            keys=[("bins", "trials"), *((style, f"{names[style]} {ratio(value)}") for style, value in shown)],
            table=tables.histogram_table(counted),
            note="Annualised. The best of as many trials without skill is expected at the dashed line.",
        )
    cells = (
        ("Probability of overfitting", percent(luck.pbo, 1), "that the best in sample is below the median after"),
        ("Deflated Sharpe ratio", percent(luck.deflated_sharpe, 1), "confidence that it is not luck"),
        ("Sharpe ratio", ratio(luck.sharpe), "of the ensemble, annualised"),
        ("Best by luck", ratio(luck.expected_max_sharpe), "expected maximum without skill"),
        ("Trials", f"{luck.trials:,}", f"of which {luck.abandoned:,} abandoned"),
    )
    shown_cells = "".join(f"<div><dt>{n}</dt><dd>{v}<small>{note}</small></dd></div>" for n, v, note in cells)
    pair = f'<div class="pair">{left}{right}</div>' if left or right else _nothing("Too few trials for a picture.")
    return _section("Is it luck?", "", f'<dl class="figures">{shown_cells}</dl>{pair}')


def _dispersion(selection: Selection) -> str:
    known_sharpes = [trial.sharpe for trial in selection.trials if known(trial.sharpe)]
    if not known_sharpes:
        return _section("Dispersion", "", _nothing("No trial has a Sharpe ratio."))
    scale = around([*known_sharpes, 0.0])
    strips = "".join(
        charts.strip(candidate, [trial for trial in selection.trials if trial.candidate == candidate], scale)
        for candidate in sorted({trial.candidate for trial in selection.trials})
    )
    rows = len({(trial.candidate, trial.seed) for trial in selection.trials})
    note = (
        "Sharpe ratio on the test range of every candidate, seed and fold, each traded alone; within a row earlier "
        "folds stand above later ones."
    )
    keys = '<span class="key middle">median</span><span class="key worst">worst</span>'
    is_open = " open" if rows <= _FEW_ROWS else ""
    return _section(
        "Dispersion",
        note,
        f"<figure><figcaption>{keys}</figcaption>{strips}{charts.strip_axis(scale)}"
        f"<details{is_open}><summary>By candidate, seed and fold</summary>"
        f"{tables.dispersion_table(selection.trials)}</details></figure>",
    )


def _members(selection: Selection) -> str:
    members = selection.members
    if not members:
        return _section("Members", "", _nothing("No model was chosen."))
    correlation = ""
    if len(selection.correlation) == len(members) > 1:
        correlation = (
            "<h3>Correlation of daily returns on validation</h3>"
            f"{tables.correlation_table(members, selection.correlation)}"
        )
    calibrated = [(number, member) for number, member in enumerate(members, 1) if member.calibration]
    diagrams = ""
    if calibrated:
        diagrams = (
            '<h3>Is a confidence what it says?</h3><p class="note">Share of votes that were right (up) against the '
            "confidence of the vote (across), on validation; a dot's area is the number of votes. Dots on the dashed "
            "line are as right as they claim, dots below it claim too much. ECE is the mean distance.</p>"
            f'<div class="diagrams">{_diagrams(calibrated)}</div>'
        )
    count = f"{len(members)} {_plural('model', len(members))}"
    note = f"{count}, chosen for score and for low correlation; artifacts of the last fold."
    return _section("Members", note, f"{tables.members_table(members)}{correlation}{diagrams}")


def _diagrams(calibrated: Iterable[tuple[int, Member]]) -> str:
    held = [(number, member, member.calibration) for number, member in calibrated]
    used = [item for *_, found in held if found for item in found.bins if item.count]
    scale = around([each for item in used for each in (item.confidence, item.hit_rate) if known(each)], room=0.08)
    return "".join(
        figure(
            f"{number} {member.candidate} \u00b7 seed {member.seed}",
            charts.reliability(found, scale, member.model_id),
            note=f"ECE {percent(found.before, 1)} \u2192 {percent(found.error, 1)}, temperature "
            f"{ratio(found.temperature)}, right {found.horizon_bars} {_plural('bar', found.horizon_bars)} later",
            table=tables.bins_table(found),
        )
        for number, member, found in held
        if found
    )


def _conditions(selection: Selection) -> str:
    boxes = (
        ("If costs had been", tables.stress_table(selection.stress) if selection.stress else ""),
        ("By regime", tables.regimes_table(selection.regimes) if selection.regimes else ""),
        ("Beside what anybody could have done", tables.baselines_table(selection)),
    )
    shown = "".join(f"<div><h3>{name}</h3>{table or _nothing('Not replayed.')}</div>" for name, table in boxes)
    fees = selection.figures.get("fees")
    note = "Every figure is of a replay over the same test ranges"
    note += f"; the ensemble paid {money(fees)} in fees." if known(fees) else "."
    return _section("Costs, regimes and baselines", note, f'<div class="triple">{shown}</div>')


def _trials(selection: Selection) -> str:
    if not selection.trials:
        return _section("All models", "", _nothing("No trial gave a figure."))
    note = "Every model that has figures, traded alone on the test range of its fold, at the same costs."
    is_open = " open" if len(selection.trials) <= _FEW_ROWS else ""
    count = f"{len(selection.trials):,} {_plural('model', len(selection.trials))}"
    return _section(
        "All models",
        note,
        f"<details{is_open}><summary>{count}</summary>{tables.trials_table(selection.trials)}</details>",
    )


def _section(title: str, note: str, inside: str, *, name: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    anchor = f' id="{name}"' if name else ""
    return f"<section{anchor}><h2>{escape(title)}</h2>{said}\n{inside}</section>\n"


def _nothing(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
