"""The verdict on a study: figures of the chosen ensemble out of sample, what may be luck, and every rule."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from adapters.model_store import load_manifest
from adapters.run_files import floats, read_run
from adapters.study_store import StudyRecord, StudyStore
from core import fills as trading
from core import golden_rule, outofsample, regimes
from core.bars import interval_ns
from core.features import feature_spec
from core.golden_rule import Profile
from core.members import correlation, mean_correlation
from core.outofsample import Run, curve_row, stitched
from core.performance import EquityCurve, annualised_return, daily_returns, max_drawdown, sharpe, total_return
from core.selection import BaselineRow, Member, Overfitting, RegimeRow, Selection, StressRow
from core.tape import R
from core.times import parse_time
from training import baselines
from training.baselines import Baseline, Habits
from training.candidates import Candidate, trial_rows
from training.market import MarketData, load_market

__all__ = ["Ensemble", "verdict"]

FloatArray = npt.NDArray[np.float64]


class Ensemble(NamedTuple):
    """Who was chosen, and their replays.

    ``members`` indices into the candidates, one tuple a fold (`training.candidates.chosen`); ``runs`` the replays by
    multiple of the costs, one a fold, 1 and 2 among them; ``outs`` the directories of those at the costs themselves.
    """

    name: str
    members: tuple[tuple[int, ...], ...]
    runs: Mapping[float, tuple[Run, ...]]
    outs: tuple[Path, ...]


def verdict(
    record: StudyRecord,
    store: StudyStore,
    found: Sequence[Candidate],
    ensemble: Ensemble,
    *,
    catalog: Path,
    profile: Profile,
    counted: tuple[int, int],
    created: str,
) -> Selection:
    """Hold the chosen ensemble to a profile of the golden rule.

    Parameters
    ----------
    record, store, found
        The study and its candidates.
    ensemble : Ensemble
        Chosen from them.
    catalog : Path
        Market data, for baselines and regimes.
    profile : Profile
        The limits.
    counted : tuple[int, int]
        Trials in the ledger, and those of them without a figure (`training.candidates.counted`).
    created : str
        ISO time (UTC).

    Returns
    -------
    Selection
        Without a holdout and without an override.
    """
    runs = ensemble.runs[1.0]
    curve = stitched([run.curve for run in runs])
    seeds = {candidate.name: stitched([run.curve for run in candidate.test]) for candidate in found}
    markets = _markets(record, catalog)
    rules, chance = _compared(record, markets, ensemble)
    days, returns = daily_returns(curve)
    by_regime = _regimes(markets, days, returns)
    luck = _luck(found, seeds, returns, counted)
    last = [found[index] for index in ensemble.members[-1]]
    alike = correlation(
        np.concatenate(
            [outofsample.panel([member.validation[fold].curve for member in last])[1] for fold in range(len(runs))]
        )
    )
    plain = {rule.name: rule.curve for rule in rules}
    members = tuple(_member(store, candidate) for candidate in last)
    figures = outofsample.figures(runs)
    figures |= outofsample.seed_figures(
        [sharpe(seeds[c.name]) for c in found if c.candidate in {member.candidate for member in members}]
    )
    figures |= outofsample.fold_figures([float(run.curve.equity[-1] / run.curve.equity[0] - 1.0) for run in runs])
    figures |= {
        "worst_regime_sharpe": regimes.worst_sharpe(by_regime),
        "double_cost_return": total_return(stitched([run.curve for run in ensemble.runs[2.0]])),
        "deflated_sharpe": luck.deflated_sharpe,
        "pbo": luck.pbo,
        "over_buy_and_hold": _over(curve, plain[baselines.HOLD]),
        "over_moving_average": _over(curve, plain[baselines.AVERAGES]),
        "over_random": outofsample.share_beaten(_end(curve), [_end(each.curve) for each in chance]),
        "member_correlation": mean_correlation(alike),
        "calibration_error": _calibration_error(members),
    }
    judged = golden_rule.judge(figures, profile)
    shown = [*rules, _median(chance)]
    return Selection(
        study=record.name,
        created=created,
        profile=profile.name,
        passed=golden_rule.passed(judged),
        instruments=record.instruments,
        base_interval=record.config.market.base_interval,
        decision_interval=record.config.market.decision_interval,
        anchored=record.plan.anchored,
        purge_bars=record.purge_bars,
        embargo_bars=record.embargo_bars,
        folds=record.folds,
        trials=trial_rows(found),
        members=members,
        correlation=tuple(tuple(row) for row in alike.tolist()),
        figures=figures,
        rules=judged,
        overfitting=luck,
        curves=(
            curve_row(ensemble.name, "ensemble", curve),
            *(curve_row(name, "seed", each) for name, each in seeds.items()),
            *(curve_row(each.name, "baseline", each.curve) for each in shown),
        ),
        baselines=tuple(map(_baseline_row, shown)),
        regimes=by_regime,
        stress=tuple(_stress(multiple, each) for multiple, each in sorted(ensemble.runs.items())),
        holdout={},
        override="",
    )


def _markets(record: StudyRecord, catalog: Path) -> list[MarketData]:
    """Return the history of every instrument over the whole study."""
    market = record.config.market
    spec = feature_spec(market.base_interval, market.decision_interval)
    start_ns, end_ns = parse_time(record.start, "start"), parse_time(record.end, "end")
    return [load_market(catalog, name, spec, start_ns=start_ns, end_ns=end_ns) for name in record.instruments]


def _compared(
    record: StudyRecord, markets: Sequence[MarketData], ensemble: Ensemble
) -> tuple[tuple[Baseline, ...], tuple[Baseline, ...]]:
    """Return what rules and what random policies came to over the same ranges."""
    tests = [(parse_time(fold.test[0], "fold"), parse_time(fold.test[1], "fold")) for fold in record.folds]
    return (
        baselines.rules(markets, tests, record.config),
        baselines.random_policies(markets, tests, record.config, _habits(record, ensemble)),
    )


def _habits(record: StudyRecord, ensemble: Ensemble) -> Habits:
    """Return how the ensemble traded, all folds and instruments together."""
    tables = [read_run(out).decisions for out in ensemble.outs]
    held = np.concatenate([floats(table, "position_lots") != 0.0 for table in tables])
    level = np.abs(np.concatenate([floats(table, "level") for table in tables]))
    confidence = np.concatenate([floats(table, "confidence") for table in tables])
    voted = np.concatenate([np.asarray(pc.equal(table["abstention"], "")) for table in tables]) & (level > 0.0)
    trips = [trip for run in ensemble.runs[1.0] for trip in trading.round_trips(run.fills)]
    seconds = trading.average_holding_seconds(trips) or 0.0
    return Habits(
        holding_bars=seconds * 1e9 / interval_ns(record.config.market.decision_interval),
        exposed=float(held.mean()) if len(held) else 0.0,
        level=float(level[voted].mean()) if voted.any() else 0.0,
        confidence=float(confidence[voted].mean()) if voted.any() else 0.0,
    )


def _regimes(markets: Sequence[MarketData], days: npt.NDArray[np.int64], returns: FloatArray) -> tuple[RegimeRow, ...]:
    """Return how the ensemble did in each regime of its instruments' common market."""
    series = [regimes.daily_closes(market.tape.ts_close, market.tape.rows[:, R.close]) for market in markets]
    first, last = max(each[0][0] for each in series), min(each[0][-1] for each in series)
    label_days = np.arange(first, last + 1)
    closes = np.column_stack([prices[np.searchsorted(each, label_days)] for each, prices in series])
    return regimes.split(days, returns, label_days=label_days, labels=regimes.regimes(closes))


def _luck(
    found: Sequence[Candidate], seeds: Mapping[str, EquityCurve], returns: FloatArray, counted: tuple[int, int]
) -> Overfitting:
    """Return how much of the result may be luck.

    Overfitting is looked for among candidates, the mean of its seeds each; where there is but one, among its seeds.
    """
    trials, abandoned = counted
    _, daily = outofsample.panel(list(seeds.values()))
    names = [candidate.candidate for candidate in found]
    if len(set(names)) > 1:
        daily = np.column_stack(
            [daily[:, [own == name for own in names]].mean(axis=1) for name in dict.fromkeys(names)]
        )
    sharpes = [figure for figure in map(sharpe, seeds.values()) if figure is not None]
    luck = outofsample.luck(returns, trial_sharpes=sharpes, trials=trials, candidates=daily)
    return msgspec.structs.replace(luck, abandoned=abandoned)


def _member(store: StudyStore, candidate: Candidate) -> Member:
    """Return a member by its artifact of the last fold."""
    trial = candidate.trials[-1]
    manifest = load_manifest(store.model(trial.parameters["name"]))
    return Member(
        model_id=manifest.model_id,
        candidate=candidate.candidate,
        algorithm=candidate.algorithm,
        seed=candidate.seed,
        sha256=manifest.sha256,
        validation_sharpe=trial.outcome["validation"]["sharpe"],
        calibration=manifest.calibration,
    )


def _calibration_error(members: Sequence[Member]) -> float | None:
    """Return the mean calibration error of the members; ``None`` where one has none."""
    errors = [None if member.calibration is None else member.calibration.error for member in members]
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if len(known) == len(errors) else None


def _end(curve: EquityCurve) -> float:
    """Return what an account that began with 1 ended with."""
    return float(curve.equity[-1])


def _over(curve: EquityCurve, other: EquityCurve) -> float | None:
    """Return the difference of two Sharpe ratios; ``None`` where one is undefined."""
    ours, theirs = sharpe(curve), sharpe(other)
    return None if ours is None or theirs is None else ours - theirs


def _median(chance: Sequence[Baseline]) -> Baseline:
    """Return the random policy in the middle, by total return."""
    ranked = sorted(chance, key=lambda each: _end(each.curve))
    return Baseline(f"random, median of {len(ranked)}", ranked[len(ranked) // 2].curve)


def _baseline_row(baseline: Baseline) -> BaselineRow:
    curve = baseline.curve
    return BaselineRow(
        name=baseline.name,
        total_return=_end(curve) - 1.0,
        annualised_return=annualised_return(curve),
        sharpe=sharpe(curve),
        max_drawdown=max_drawdown(curve),
    )


def _stress(multiple: float, runs: Sequence[Run]) -> StressRow:
    curve = stitched([run.curve for run in runs])
    return StressRow(
        multiple=multiple,
        total_return=_end(curve) - 1.0,
        sharpe=sharpe(curve),
        max_drawdown=max_drawdown(curve),
    )
