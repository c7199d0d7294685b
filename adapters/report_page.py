"""The report of a run as one HTML page that needs no network: what it made, what it cost, and why it traded."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from adapters.report_charts import chart_data
from adapters.report_shell import html_page, shown_day
from adapters.report_tables import (
    bps,
    count_table,
    duration,
    extremes_table,
    hash_table,
    money,
    monthly_table,
    percent,
    ratio,
    reason_of,
    signed,
    tone,
    trips_table,
)
from adapters.run_files import Run
from core.fills import RoundTrip, round_trips

__all__ = ["render_page"]

_FEW_TRIPS = 100
_GLYPHS = {
    "long": '<path class="mark long" d="M0 9 5 0l5 9z"/>',
    "short": '<path class="mark short" d="M0 1l5 9 5-9z"/>',
    "exit": '<circle class="mark exit" cx="5" cy="5" r="3.5"/>',
    "stop": '<path class="mark stop" d="M1 1l8 8m0-8-8 8"/>',
}


def render_page(run: Run, summary: Mapping[str, Any], config: str) -> str:
    """Return the page.

    Parameters
    ----------
    run : Run
        The run's files.
    summary : Mapping[str, Any]
        As for `adapters.report.write_report`.
    config : str
        The effective configuration as text, empty where unknown.
    """
    trips = round_trips(run.fills)
    charts = chart_data(run, summary)
    title = f"{', '.join(run.instruments)} {summary.get('run_id', '')}"
    body = "".join(
        (
            _header(run, summary),
            _costs(summary),
            _figures(summary),
            _care(run, summary, trips),
            _account(run, charts),
            _trading(run, charts, trips),
            _decisions(run, charts),
            _provenance(summary, config),
        )
    )
    return html_page(title=title, body=body, styles=("report_page.css",), charts=charts)


def _header(run: Run, summary: Mapping[str, Any]) -> str:
    """Return the honest headline: the account against doing nothing and against buying and holding."""
    own, market = summary["total_return"], summary["buy_and_hold_return"]
    badge = ""
    if _synthetic(run, summary):
        badge = (
            '<p class="badge"><b>SYNTHETIC</b> The prices of this run were made by a random generator. '
            "Nothing here says anything about a real market.</p>"
        )
    if summary.get("in_sample"):
        badge += (
            '<p class="badge"><b>IN SAMPLE</b> A model was trained on bars up to '
            f"{shown_day(summary['models_trained_until'])}, which this run replays. It is no evidence of anything.</p>"
        )
    span = f"{shown_day(summary.get('start'))} \u2013 {shown_day(summary.get('end'))}"
    facts = (
        span,
        f"{summary.get('bars', 0):,} bars",
        f"{summary['decisions']:,} decisions",
        f"{len(summary.get('model_ids', ()))} models",
    )
    error = summary["sharpe_error"]
    spread = "" if error is None else f"\u00b1 {ratio(error)} standard error; "
    account = f"{money(summary['starting_equity'])} \u2192 {money(summary['ending_equity'])} {summary['currency']}"
    cells = (
        ("Ensemble, after all costs", own, percent(own, sign=True), escape(account)),
        ("Flat", 0.0, percent(0.0), "holding cash, trading nothing"),
        (
            "Buy and hold",
            market,
            percent(market, sign=True),
            f"no costs; drawdown {percent(summary['buy_and_hold_max_drawdown'], 1)}",
        ),
        ("Sharpe ratio", None, ratio(summary["sharpe"]), f"{spread}market {ratio(summary['buy_and_hold_sharpe'])}"),
    )
    results = "".join(
        f'<div><dt>{name}</dt><dd class="{tone(value)}">{shown}</dd><small>{note}</small></div>\n'
        for name, value, shown, note in cells
    )
    return f"""{badge}<p class="eyebrow"><b>{escape(", ".join(run.instruments))}</b> \u00b7 {" \u00b7 ".join(facts)}</p>
<h1>{_headline(own, market)}</h1>
<dl class="results">
{results}</dl>
"""


def _headline(own: float, market: float | None) -> str:
    did = "Traded nothing" if own == 0.0 else f"{'Made' if own > 0.0 else 'Lost'} {percent(abs(own))} after costs"
    if market is None:
        return f"{did}."
    theirs = f"buying and holding {'made' if market >= 0.0 else 'lost'} {percent(abs(market))}"
    if market < own < 0.0:
        return f"{did}, less than holding, which lost {percent(abs(market))}."
    return f"{did}{':' if own < 0.0 else ';'} {theirs}."


def _costs(summary: Mapping[str, Any]) -> str:
    """Return the box that says whether the result survives its costs."""
    paid, even = summary["fee_bps"], summary["break_even_fee_bps"]
    if paid is None:
        return '<section class="honesty"><h2>Does it survive its costs?</h2><p>Nothing was traded.</p></section>'
    if even < 0.0:
        verdict = f"Even without any fee these fills lose: they would break even at {bps(even)}."
    elif even < paid:
        verdict = f"No. These fills break even at a fee of {bps(even)} of notional; they paid {bps(paid)}."
    else:
        verdict = f"These fills break even at a fee of {bps(even)} of notional; they paid {bps(paid)}."
    net = summary["ending_equity"] - summary["starting_equity"]
    gross = net + summary["fees"] + summary["spread_costs"] - summary["funding"]
    flow = (
        ("Price moves, before any cost", gross),
        ("Spread and modelled slippage", -summary["spread_costs"]),
        ("Fees", -summary["fees"]),
        ("Funding", summary["funding"]),
    )
    flows = "".join(f'<tr><th scope="row">{n}</th><td class="n">{money(v, sign=True)}</td></tr>' for n, v in flow)
    scaled = "".join(
        f'<tr><th scope="row">{_multiple(result["multiple"])}</th><td class="n">{money(result["ending_equity"])}</td>'
        f'<td class="n {tone(result["total_return"])}">{percent(result["total_return"], sign=True)}</td></tr>'
        for result in summary["cost_sensitivity"]
    )
    return f"""<section class="honesty"><h2>Does it survive its costs?</h2>
<p>{verdict}</p>
<div class="columns">
<div><h3>Fee, bps of notional</h3>{_scale(paid, even)}
<p class="note">Beside the fee, {bps(summary["slippage_bps"])} went between decision (or a stop's trigger) and fill:
spread, slippage and the market's own move.</p></div>
<div><h3>If costs had been</h3><table><tbody>{scaled}</tbody></table></div>
<div><h3>Where the money went, {escape(summary["currency"])}</h3><table><tbody>{flows}<tr class="total"><td>Net</td>
<td class="n">{signed(net)}</td></tr></tbody></table></div>
</div>
<p class="note">Fees, spread and modelled slippage are scaled on the same fills; decisions are held fixed
and funding is left as it was.</p></section>
"""


def _scale(paid: float, even: float) -> str:
    """Return a line from the lowest to the highest of nothing, the fee paid and the break-even fee."""
    low, high = min(0.0, even) * 1.15, max(paid, even) * 1.15 or 1.0
    at_paid, at_even = (100.0 * (value - low) / (high - low) for value in (paid, even))
    short = even < paid
    way = "short" if short else "long"
    return f"""<div class="scale">
<span class="{way}" style="left:{min(at_paid, at_even):.1f}%;width:{abs(at_paid - at_even):.1f}%"></span>
<i class="paid" style="left:{at_paid:.1f}%"></i><i class="even {way}" style="left:{at_even:.1f}%"></i></div>
<p>paid <b>{ratio(paid)}</b> \u00b7 break-even <b class="{"loss" if short else "gain"}">{ratio(even)}</b></p>"""


def _multiple(value: float) -> str:
    return {0.5: "half as high", 1.0: "as they were", 2.0: "twice as high"}.get(value, f"{value:g} times as high")


def _figures(summary: Mapping[str, Any]) -> str:
    figures = (
        ("Max drawdown", percent(summary["max_drawdown"]), "from the highest mark"),
        ("Annualised return", percent(summary["annualised_return"], sign=True), "365 days"),
        ("Sortino ratio", ratio(summary["sortino"]), "daily, target 0"),
        ("Volatility", percent(summary["annualised_volatility"], 1), "annualised"),
        ("Round trips", f"{summary['round_trips']:,}", f"{summary['fills']:,} fills"),
        ("Win rate", percent(summary["win_rate"], 1), "after fees"),
        ("Profit factor", ratio(summary["profit_factor"]), "gains over losses"),
        ("Average holding", duration(summary["average_holding_seconds"]), "entry to exit"),
        ("Mean exposure", percent(summary["exposure"], 1), "of equity, long or short"),
        ("Turnover", f"{ratio(summary['turnover'], 1)}\u00d7", "notional over equity"),
    )
    cells = "".join(f"<div><dt>{n}</dt><dd>{value}<small>{note}</small></dd></div>" for n, value, note in figures)
    return f'<dl class="figures">{cells}</dl>\n'


def _care(run: Run, summary: Mapping[str, Any], trips: Sequence[RoundTrip]) -> str:
    """Return what a sceptic would say of the run."""
    remarks = []
    days = (int(run.curve.ts[-1]) - int(run.curve.ts[0])) / 86_400e9 if len(run.curve.ts) else 0.0
    if days < 365:
        remarks.append(f"It covers {days:.0f} days: one stretch of one market, and annual figures are extrapolated.")
    sharpe, error = summary["sharpe"], summary["sharpe_error"]
    if sharpe is not None and abs(sharpe) < 2.0 * error:
        remarks.append(f"A Sharpe ratio of {ratio(sharpe)} is within two standard errors of nothing: it may be luck.")
    if len(trips) < _FEW_TRIPS:
        remarks.append(f"Only {len(trips)} round trips: too few to tell skill from chance.")
    gains = sorted((trip.profit for trip in trips if trip.profit > 0.0), reverse=True)
    if len(gains) > 10 and sum(gains[:5]) > 0.3 * sum(gains):
        remarks.append(f"The five best round trips made {percent(sum(gains[:5]) / sum(gains), 0)} of all gains.")
    doubled = [result["total_return"] for result in summary["cost_sensitivity"] if result["multiple"] == 2.0]
    if summary["total_return"] > 0.0 and doubled and doubled[0] < 0.0:
        remarks.append("The profit does not survive twice the costs.")
    if run.fills.ts.size and _open_at_end(run):
        remarks.append("A position was open at the end: it is in the equity, not in the round trips.")
    if not remarks:
        return ""
    items = "".join(f"<li>{remark}</li>" for remark in remarks)
    return f'<aside class="care"><h3>Read with care</h3><ul>{items}</ul></aside>\n'


def _open_at_end(run: Run) -> bool:
    last: dict[str, int] = dict(zip(run.fills.instrument_id, run.fill_table["lots_after"].to_pylist(), strict=True))
    return any(last.values())


def _account(run: Run, charts: Mapping[str, Any]) -> str:
    return f"""<section id="equity"><h2>The account</h2>
<p class="note">Marked to market at every decision, UTC. Drag across a chart to zoom all of them, double-click to zoom
out.</p>
{_figure("equity", "Equity", charts, "")}
{_figure("drawdown", "Drawdown", charts, "low")}
{_figure("exposure", "Exposure, share of equity", charts, "low")}</section>
<section><h2>Returns by month</h2>
<p class="note">UTC calendar months, compounded from daily returns; the first and the last may be cut short.</p>
{monthly_table(run.curve)}</section>
"""


def _trading(run: Run, charts: Mapping[str, Any], trips: Sequence[RoundTrip]) -> str:
    prices = "".join(
        _figure(f"price-{number}", escape(name), charts, "high") for number, name in enumerate(run.instruments)
    )
    if not trips:
        return f'<section><h2>Trading</h2>{prices}<p class="note">No position was closed.</p></section>'
    reason = reason_of(run)
    by_instrument = trips_table("instrument", trips, lambda trip: trip.instrument_id)
    return f"""<section><h2>Fills on the price</h2>
<p class="note">Price at decision closes; the marks stand at what was paid, spread and slippage included.</p>
{prices}</section>
<section><h2>Round trips</h2>
<p class="note">From flat to flat, profit after fees; funding is not in it.</p>
<div class="pair"><div>{trips_table("exit", trips, reason)}</div>
<div>{trips_table("side", trips, lambda trip: "long" if trip.side > 0 else "short")}
{f"<br>{by_instrument}" if len(run.instruments) > 1 else ""}</div></div>
<details><summary>Largest gains and losses</summary>{extremes_table(trips, reason)}</details></section>
"""


def _decisions(run: Run, charts: Mapping[str, Any]) -> str:
    votes = ""
    if charts["votes"]["strips"]:
        votes = _figure(
            "votes", 'Votes: <span class="gain">long</span>, <span class="loss">short</span>', charts, "low"
        )
    return f"""<section><h2>Why it traded, and why not</h2>
<p class="note">Every decision is counted, those that led to no order too. Curves and votes are means over equal
numbers of decisions.</p>
{_figure("signal", "Signal", charts, "low")}
{votes}
<div class="pair"><div>{count_table("ensemble", run, "abstention", "signalled")}</div>
<div>{count_table("gate", run, "verdict", "none")}<br>
{count_table("state", run, "state", "unknown")}</div></div></section>
"""


def _figure(chart: str, title: str, charts: Mapping[str, Any], size: str) -> str:
    panel = charts[chart]
    lines = panel["lines"]
    keys = "".join(
        f'<span class="key {line["style"]}">{escape(line["name"])} <span data-line="{number}"></span></span>'
        for number, line in enumerate(lines)
    )
    keys += "".join(
        f'<span class="key glyph"><svg viewBox="0 0 10 10" aria-hidden="true">{_GLYPHS[mark["style"]]}</svg>'
        f"{escape(mark['name'])} {len(mark['t']):,}</span>"
        for mark in panel.get("marks", ())
    )
    return (
        f'<figure data-chart="{chart}"><figcaption><b>{title}</b>{keys}<time></time></figcaption>'
        f'<div class="plot {size}"></div></figure>\n'
    )


def _provenance(summary: Mapping[str, Any], config: str) -> str:
    details = ""
    if config:
        details = f"<details><summary>Effective configuration</summary><pre>{escape(config)}</pre></details>"
    seconds = summary.get("engine_seconds")
    speed = (
        "" if not seconds else f" Replayed in {seconds:.1f} s, {summary.get('bars', 0) / seconds:,.0f} bars a second."
    )
    return f"""<section><h2>What this run was</h2>
<p class="note">Run {escape(str(summary.get("run_id", "")))}. The same data, models and configuration give the same
hashes of decisions and fills.{speed}</p>
<div class="wide">{hash_table(summary)}</div>
{details}</section>
"""


def _synthetic(run: Run, summary: Mapping[str, Any]) -> bool:
    return bool(summary.get("synthetic")) or any(name.startswith("SYNTH") for name in run.instruments)
