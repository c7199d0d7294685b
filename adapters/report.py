"""What a run came to: the numbers of its summary, a table for the terminal, and a page for the browser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from adapters.report_page import render_page
from adapters.report_shell import write_page
from adapters.run_files import buy_and_hold, read_run
from core import fills as trading
from core import performance as perf
from core.costs import CostParams
from core.shortfall import shortfall_by_parent, summarised

__all__ = ["statistics_table", "summarise", "write_report"]


def summarise(out: Path, *, starting_equity: float, costs: CostParams, currency: str) -> dict[str, Any]:
    """Return the performance part of ``summary.json`` from the files of a finished run.

    Parameters
    ----------
    out : Path
        Directory with the files of `adapters.recorder.RunRecorder`.
    starting_equity : float
        Quote currency.
    costs : CostParams
        Costs of the run; ``away`` tells how much of the fills' prices was spread and modelled slippage.
    currency : str
        Name of the quote currency.

    Returns
    -------
    dict[str, Any]
        Plain numbers; ``None`` where a measure is undefined (`core.performance`). ``funding`` is a cash flow to the
        account; ``buy_and_hold_*`` hold equal parts of the instruments from the first to the last decision close,
        without costs; ``cost_sensitivity`` holds the decisions fixed (`core.fills.cost_sensitivity`).

    Raises
    ------
    DataError
        Where a file of the run is absent or broken.
    """
    run = read_run(out)
    curve = _from_start(run.curve, starting_equity)
    ending = float(curve.equity[-1]) if len(curve.equity) else starting_equity
    trips = trading.round_trips(run.fills)
    traded = trading.notional(run.fills)
    fees = float(np.sum(run.fills.commission))
    spread = traded * costs.away
    parents = shortfall_by_parent(run.fills, run.fill_table["client_order_id"].to_pylist())
    shortfall = summarised([cost.price for cost in parents.values()])
    held = buy_and_hold(run.closes())
    market = perf.EquityCurve(held.ts, held.close)
    return {
        "currency": currency,
        "starting_equity": starting_equity,
        "ending_equity": ending,
        "total_return": ending / starting_equity - 1.0,
        "annualised_return": perf.annualised_return(curve),
        "annualised_volatility": perf.annualised_volatility(curve),
        "sharpe": perf.sharpe(curve),
        "sharpe_error": perf.sharpe_error(curve),
        "sortino": perf.sortino(curve),
        "calmar": perf.calmar(curve),
        "max_drawdown": perf.max_drawdown(curve),
        "exposure": perf.mean_exposure(run.curve.ts, run.exposure),
        "round_trips": len(trips),
        "win_rate": trading.win_rate(trips),
        "profit_factor": trading.profit_factor(trips),
        "average_holding_seconds": trading.average_holding_seconds(trips),
        "notional": traded,
        "turnover": perf.turnover(run.fills, curve),
        "fees": fees,
        "spread_costs": spread,
        "funding": run.funding,
        "slippage_bps": trading.slippage_bps(run.fills),
        "shortfall_bps": None if shortfall is None else shortfall._asdict(),
        "fee_bps": fees / traded * 1e4 if traded > 0.0 else None,
        "break_even_fee_bps": trading.break_even_fee_bps(net_profit=ending - starting_equity, fees=fees, traded=traded),
        "buy_and_hold_return": perf.total_return(market),
        "buy_and_hold_max_drawdown": perf.max_drawdown(market),
        "buy_and_hold_sharpe": perf.sharpe(market),
        "cost_sensitivity": [
            result._asdict()
            for result in trading.cost_sensitivity(
                starting_equity=starting_equity, ending_equity=ending, costs=fees + spread
            )
        ],
        "decisions": run.decisions.num_rows,
        "orders": run.orders,
        "fills": len(run.fills.ts),
    }


def write_report(out: Path, summary: Mapping[str, Any]) -> Path:
    """Write ``report.html`` beside the files of a finished run and return its path.

    Parameters
    ----------
    out : Path
        Directory of the run; its ``config.json`` is shown where there is one.
    summary : Mapping[str, Any]
        What `summarise` returns and whatever else is known of the run: ``run_id``, ``start``, ``end``, ``bars``,
        ``model_ids``, ``synthetic`` and every key that ends in ``hash``, ``hashes`` or ``sha256`` are shown.

    Notes
    -----
    The page needs no network and no other file. Long series are thinned to a few thousand points that keep their
    extremes, so that the page stays small.
    """
    run = read_run(out)
    config = out / "config.json"
    page = render_page(run, summary, config.read_text(encoding="utf-8") if config.is_file() else "")
    path = out / "report.html"
    write_page(path, page)
    return path


def statistics_table(summary: Mapping[str, Any]) -> Table:
    """Return the summary as a table for the terminal: the account beside buy-and-hold, then trading and costs."""
    table = Table(title=_title(summary), title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("ensemble", justify="right")
    table.add_column("buy and hold", justify="right")
    for label, own, market in _ROWS:
        theirs = _shown(summary.get(market[0]), market[1]) if market else ""
        table.add_row(label, _shown(summary.get(own[0]), own[1]), theirs)
    for result in summary.get("cost_sensitivity", ()):
        label = f"total return at {result['multiple']:g}x costs"
        table.add_row(label, _shown(result["total_return"], "{:+.2%}"), "")
    return table


def _title(summary: Mapping[str, Any]) -> str:
    names = ", ".join(summary.get("instruments", ()))
    span = f"{str(summary.get('start', ''))[:10]} to {str(summary.get('end', ''))[:10]}"
    return f"{'SYNTHETIC market, no real prices: ' if summary.get('synthetic') else ''}{names} {span}".strip()


_Cell = tuple[str, str]
_ROWS: tuple[tuple[str, _Cell, _Cell | None], ...] = (
    ("total return", ("total_return", "{:+.2%}"), ("buy_and_hold_return", "{:+.2%}")),
    ("annualised return", ("annualised_return", "{:+.2%}"), None),
    ("max drawdown", ("max_drawdown", "{:.2%}"), ("buy_and_hold_max_drawdown", "{:.2%}")),
    ("Sharpe, daily", ("sharpe", "{:.2f}"), ("buy_and_hold_sharpe", "{:.2f}")),
    ("Sortino, daily", ("sortino", "{:.2f}"), None),
    ("ending equity", ("ending_equity", "{:,.2f}"), None),
    ("mean exposure", ("exposure", "{:.2%}"), None),
    ("decisions", ("decisions", "{:,}"), None),
    ("orders", ("orders", "{:,}"), None),
    ("fills", ("fills", "{:,}"), None),
    ("round trips", ("round_trips", "{:,}"), None),
    ("win rate", ("win_rate", "{:.1%}"), None),
    ("profit factor", ("profit_factor", "{:.2f}"), None),
    ("turnover", ("turnover", "{:,.1f}"), None),
    ("fees", ("fees", "{:,.2f}"), None),
    ("funding received", ("funding", "{:+,.2f}"), None),
    ("slippage, bps", ("slippage_bps", "{:.2f}"), None),
    ("fee paid, bps", ("fee_bps", "{:.2f}"), None),
    ("break-even fee, bps", ("break_even_fee_bps", "{:.2f}"), None),
)


def _shown(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)


def _from_start(curve: perf.EquityCurve, starting_equity: float) -> perf.EquityCurve:
    """Return the curve with the starting equity as its first mark, where it is not already."""
    if len(curve.equity) == 0 or curve.equity[0] == starting_equity:
        return curve
    return perf.EquityCurve(np.concatenate((curve.ts[:1], curve.ts)), np.concatenate(([starting_equity], curve.equity)))
