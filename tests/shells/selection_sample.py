"""A selection as a study of 120 trials would leave it, made of seeded chance with an edge as large as is asked for."""

from datetime import UTC, datetime, timedelta

import numpy as np

from core.golden_rule import Profile, judge, passed
from core.outofsample import luck
from core.selection import (
    BaselineRow,
    Bin,
    Calibrated,
    Curve,
    FoldSpan,
    Member,
    RegimeRow,
    Selection,
    StressRow,
    TrialRow,
)

CANDIDATES = ("a2c-1b77e0", "ppo-3fa2c1", "qrdqn-77ab01", "recurrent_ppo-0c4d9e")
SEEDS = range(5)
LIMITS = {
    "sharpe": 1.5, "annualised_return": 0.5, "total_return": 0.0, "max_drawdown": 0.2, "win_rate": 0.55,
    "profit_factor": 1.15, "trades_a_month": 4.0, "median_seed_sharpe": 0.5, "worst_seed_sharpe": -0.5,
    "worst_fold_return": -0.1, "profitable_folds": 0.6, "worst_regime_sharpe": -0.5, "break_even_fee_bps": 10.0,
    "double_cost_return": 0.0, "deflated_sharpe": 0.95, "pbo": 0.2, "over_buy_and_hold": 0.0,
    "over_moving_average": 0.0, "over_random": 0.95, "member_correlation": 0.8, "calibration_error": 0.1,
}  # fmt: skip
START = datetime(2022, 1, 1, tzinfo=UTC)


def moment(days: float) -> str:
    return f"{START + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def fold_spans(count: int) -> tuple[FoldSpan, ...]:
    """Fit 365 days, two days apart from 60 of validation, two from 75 of test; the next begins 75 later."""
    return tuple(
        FoldSpan(
            number=i + 1,
            fit=(moment(75 * i), moment(75 * i + 365)),
            validation=(moment(75 * i + 367), moment(75 * i + 427)),
            test=(moment(75 * i + 429), moment(75 * i + 504)),
        )
        for i in range(count)
    )


def sharpe(returns: np.ndarray) -> float:
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(365))


def drawdown(equity: np.ndarray) -> float:
    return float(np.max(1.0 - equity / np.maximum.accumulate(equity)))


def a_year(returns: np.ndarray) -> float:
    return float(np.prod(1.0 + returns) ** (365 / len(returns)) - 1.0)


def baseline(name: str, returns: np.ndarray) -> BaselineRow:
    equity = np.cumprod(1.0 + returns)
    return BaselineRow(
        name=name,
        total_return=float(equity[-1] - 1.0),
        annualised_return=a_year(returns),
        sharpe=sharpe(returns),
        max_drawdown=drawdown(equity),
    )


def curve(name: str, kind: str, days: np.ndarray, returns: np.ndarray) -> Curve:
    equity = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    return Curve(name=name, kind=kind, days=(int(days[0]) - 1, *days.tolist()), equity=tuple(equity.tolist()))


def calibrated(chance: np.random.Generator) -> Calibrated:
    bins = tuple(
        Bin(count=int(900 * np.exp(-((level - 0.55) ** 2) / 0.02)), confidence=level, hit_rate=hit)
        for level, hit in ((c, 0.5 + 0.8 * (c - 0.5) + chance.normal(0.0, 0.02)) for c in np.arange(0.4, 0.86, 0.05))
    )
    return Calibrated(horizon_bars=4, temperature=1.8, before=0.141, error=float(chance.uniform(0.02, 0.05)), bins=bins)


def selection_sample(*, edge: float = 0.0011, folds: int = 6, limits: dict[str, float] = LIMITS) -> Selection:
    """Return a selection; ``edge`` is the mean daily return of a candidate, whose deviation is 2 % a day."""
    chance = np.random.default_rng(7)
    spans = fold_spans(folds)
    days = int(datetime(2023, 3, 6, tzinfo=UTC).timestamp()) // 86_400 + np.arange(75 * folds)
    common = chance.normal(edge, 0.012, len(days))
    returns = {(name, seed): common + chance.normal(0.0, 0.016, len(days)) for name in CANDIDATES for seed in SEEDS}
    trials = tuple(
        trial(name, seed, fold + 1, row[75 * fold : 75 * (fold + 1)], chance)
        for (name, seed), row in returns.items()
        for fold in range(folds)
    )
    best = sorted(returns, key=lambda key: -sharpe(returns[key]))[:5]
    own = np.mean([returns[key] for key in best], axis=0)
    equity = np.cumprod(1.0 + own)
    market, average = chance.normal(0.0012, 0.026, len(days)), chance.normal(0.0004, 0.018, len(days))
    judged = luck(
        own, trial_sharpes=[sharpe(row) for row in returns.values()], trials=len(returns) + 7, blocks=12,
        candidates=np.array(list(returns.values())).T,
    )  # fmt: skip
    random = chance.normal(-0.0008, 0.008, len(days))
    figures = {
        "total_return": float(equity[-1] - 1.0), "annualised_return": a_year(own),
        "sharpe": sharpe(own), "max_drawdown": drawdown(equity), "win_rate": 0.513, "profit_factor": 1.08,
        "round_trips": 412.0, "trades_a_month": 27.9, "fees": 1834.27, "break_even_fee_bps": 6.84,
        "median_seed_sharpe": float(np.median([sharpe(row) for row in returns.values()])),
        "worst_seed_sharpe": min(sharpe(row) for row in returns.values()), "worst_fold_return": -0.131,
        "profitable_folds": 4 / 6, "worst_regime_sharpe": None, "double_cost_return": -0.083,
        "deflated_sharpe": judged.deflated_sharpe, "pbo": judged.pbo,
        "over_buy_and_hold": sharpe(own) - sharpe(market), "over_moving_average": sharpe(own) - sharpe(average),
        "over_random": 0.83, "member_correlation": 0.41, "calibration_error": 0.037,
    }  # fmt: skip
    rules = judge(figures, Profile("targets", limits))
    correlation = np.corrcoef([returns[key] for key in best])
    return Selection(
        study="btc-15m-2022", created="2024-07-02T08:15:00Z", profile="targets", passed=passed(rules),
        instruments=("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"), base_interval="1m", decision_interval="15m",
        anchored=False, purge_bars=96, embargo_bars=96, folds=spans, trials=trials,
        members=tuple(
            Member(
                model_id=f"{name}-s{seed}-f{folds}", candidate=name, algorithm=name.rpartition("-")[0], seed=seed,
                sha256=chance.bytes(32).hex(), validation_sharpe=float(chance.normal(1.0, 0.4)),
                calibration=calibrated(chance),
            )
            for name, seed in best
        ),
        correlation=tuple(map(tuple, correlation.tolist())), figures=figures, rules=rules,
        overfitting=judged,
        curves=(
            curve("ensemble", "ensemble", days, own),
            *(curve(f"{name} seed {seed}", "seed", days, row) for (name, seed), row in returns.items()),
            curve("buy_and_hold", "baseline", days, market), curve("moving_average", "baseline", days, average),
            curve("random", "baseline", days, random),
        ),
        baselines=(
            baseline("buy_and_hold", market), baseline("moving_average", average), baseline("random", random),
        ),
        regimes=(
            RegimeRow(regime="trend, high volatility", days=121, total_return=0.183, sharpe=1.42),
            RegimeRow(regime="trend, low volatility", days=98, total_return=0.041, sharpe=0.71),
            RegimeRow(regime="range, high volatility", days=64, total_return=-0.092, sharpe=-1.13),
            RegimeRow(regime="range, low volatility", days=167, total_return=-0.017, sharpe=None),
        ),
        stress=tuple(
            StressRow(multiple=m, total_return=0.21 - 0.13 * m, sharpe=0.9 - 0.5 * m, max_drawdown=0.18 + 0.03 * m)
            for m in (0.5, 1.0, 2.0, 3.0)
        ),
        holdout={
            "start": "2024-06-01T00:00:00Z", "end": "2024-12-31T00:00:00Z", "total_return": -0.034, "sharpe": -0.31,
            "max_drawdown": 0.117, "win_rate": 0.494, "annualised_return": None, "fees": 512.6,
        },
        override="",
    )  # fmt: skip


def trial(name: str, seed: int, fold: int, row: np.ndarray, chance: np.random.Generator) -> TrialRow:
    equity = np.cumprod(1.0 + row)
    return TrialRow(
        trial_id=f"{int(chance.integers(2**62)):016x}", candidate=name, algorithm=name.rpartition("-")[0], seed=seed,
        fold=fold, validation_sharpe=float(chance.normal(0.9, 0.7)), total_return=float(equity[-1] - 1.0),
        sharpe=sharpe(row), max_drawdown=drawdown(equity), win_rate=float(chance.uniform(0.42, 0.58)),
        profit_factor=float(chance.uniform(0.8, 1.4)), round_trips=int(chance.integers(20, 120)),
        fees=float(chance.uniform(50.0, 700.0)), break_even_fee_bps=float(chance.normal(5.0, 6.0)),
    )  # fmt: skip
