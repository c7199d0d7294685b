"""The checks of the self-test: each measures one way in which a trainer lies, on a market whose truth is known.

Every check takes what it checks as an argument: the trainer, the features, the market. So a test can hand in a broken
one and see the check fail.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from adapters.network import Network
from adapters.network_graph import network_to_onnx
from configs.schema import AppConfig
from core.bars import Bars, Funding, interval_ns
from core.features import FeatureFrame, FeatureSpec, compute_features, feature_spec
from core.golden_rule import Profile, judge, passed
from core.overfitting import deflated_sharpe, track
from core.performance import EquityCurve, annualised_return, daily_returns, max_drawdown, sharpe, total_return
from training.algorithms import actions_of
from training.env import rules_of
from training.evaluate import Evaluation, evaluate, one_voter
from training.hyperparameters import Hyperparameters
from training.market import MarketData
from training.planted import History, leaked, oracle_growth, planted_market
from training.prepared import Prepared, Span, prepare_markets
from training.train import train

__all__ = [
    "Check",
    "Features",
    "Laboratory",
    "Trainer",
    "check_determinism",
    "check_look_ahead",
    "check_noise",
    "check_oracle",
    "check_warm_up",
    "trained",
]

type Trainer = Callable[[Prepared, AppConfig, Hyperparameters, int, int], Network]
"""Of history, configuration, hyper-parameters, a seed and a number of decisions."""
type Features = Callable[[Bars, Funding | None, FeatureSpec], FeatureFrame]

ALGORITHM = "ppo"
DEVIATION = 0.005
"""Of a decision bar's log return; some four times the costs of a round trip."""
FIT_ROWS, VALIDATION_ROWS, HELD_OUT_ROWS = 6_000, 1_500, 1_500
ORACLE_STEPS, ORACLE_SHARE, ORACLE_SECONDS = 100_000, 0.8, 60.0
PATIENCE = 0.9
"""Discount of a reward that comes one bar later."""
NOISE_STEPS, NOISE_SEEDS, NOISE_ERRORS = 50_000, 5, 2.0
SAME_STEPS = 8_192
SAMPLES = 200
DRIFT = 1e-3


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of a check: what was found, what it is held to, whether it passed, and how long it took."""

    check: str
    figure: float
    limit: float
    sense: Literal["at_least", "at_most"]
    passed: bool
    seconds: float
    meaning: str


class Laboratory(NamedTuple):
    """Under which rules the planted markets are traded and learnt: their own intervals, everything else as configured.

    Decisions are hourly, so that no limit on entries a day stands between a policy and what it knows.
    """

    config: AppConfig
    hyperparameters: Hyperparameters

    @classmethod
    def of(cls, config: AppConfig, hyperparameters: Hyperparameters) -> "Laboratory":
        """Return the laboratory of a configuration: small networks, short episodes, eager updates."""
        replace = msgspec.structs.replace
        market = replace(config.market, base_interval="15m", decision_interval="1h")
        return cls(
            replace(config, market=market),
            replace(
                hyperparameters,
                environment=replace(
                    hyperparameters.environment, accounts=64, episode_bars=200, turnover_weight=0.0, drift_weight=0.0
                ),
                network=replace(hyperparameters.network, layers=(32, 32)),
                selection=replace(hyperparameters.selection, checkpoints=4),
                ppo=replace(
                    hyperparameters.ppo, n_steps=64, batch_size=1_024, n_epochs=6, learning_rate=3e-3, gamma=PATIENCE
                ),
            ),
        )

    def patient(self, gamma: float) -> Hyperparameters:
        """Return the hyper-parameters with another discount."""
        ppo = msgspec.structs.replace(self.hyperparameters.ppo, gamma=gamma)
        return msgspec.structs.replace(self.hyperparameters, ppo=ppo)

    @property
    def spec(self) -> FeatureSpec:
        """The features of the planted markets."""
        return feature_spec(self.config.market.base_interval, self.config.market.decision_interval)

    def market(self, seed: int) -> MarketData:
        """Return a random walk with enough rows for all three parts."""
        return planted_market(seed, FIT_ROWS + VALIDATION_ROWS + HELD_OUT_ROWS, self.spec, deviation=DEVIATION)

    def prepare(self, market: MarketData) -> tuple[Prepared, tuple[int, int]]:
        """Return a market split in time, and the rows that no training sees."""
        ts, first = market.tape.ts_close, int(np.argmax(market.tape.ready))
        ends = first + np.cumsum([0, FIT_ROWS, VALIDATION_ROWS])
        a, b, c = (int(ts[row - 1]) for row in ends)
        return prepare_markets([market], self.spec, span=Span((a, b), (b, c))), (int(ends[2]), len(ts))

    def trade(self, network: Network, market: MarketData, rows: tuple[int, int]) -> Evaluation:
        """Trade a network alone over some rows."""
        config = self.config
        episode = self.hyperparameters.environment
        actions = actions_of(ALGORITHM)
        rules = rules_of(market, config.decision_params(), config.cost_params(), actions, episode, rows)
        return evaluate([network], market.tape, rows, rules, one_voter(config.tally_params()))


def trained(
    prepared: Prepared, config: AppConfig, hyperparameters: Hyperparameters, seed: int, timesteps: int
) -> Network:
    """Train as the product does."""
    return train(prepared, config, hyperparameters, algorithm=ALGORITHM, seed=seed, timesteps=timesteps).network


def check_oracle(
    laboratory: Laboratory, *, trainer: Trainer = trained, plant: Callable[[MarketData], MarketData] = leaked
) -> tuple[Check, ...]:
    """Leak the next return into a feature; measure which share of the oracle's log growth is earned, and how soon.

    A patient learner finds the leak even if each reward comes a bar late. So there is a second one that cares for
    nothing but the next reward: it learns only if that reward is the one of its own decision.
    """
    truth = laboratory.market(1)
    market = plant(truth)
    prepared, rows = laboratory.prepare(market)
    equity = laboratory.hyperparameters.environment.starting_equity
    possible = oracle_growth(leaked(truth), rows, laboratory.config, equity)
    checks = []
    for name, gamma in (("oracle", PATIENCE), ("oracle without patience", 0.0)):
        began = time.monotonic()
        network = trainer(prepared, laboratory.config, laboratory.patient(gamma), 1, ORACLE_STEPS)
        seconds = time.monotonic() - began
        earned = float(np.log1p(laboratory.trade(network, market, rows).total_return))
        meaning = "share of the log growth of a rule that knows the next return"
        checks.append(_at_least(name, earned / possible, ORACLE_SHARE, began, meaning))
        meaning = f"seconds for {ORACLE_STEPS:,} decisions of training"
        checks.append(_at_most(f"{name}, in time", seconds, ORACLE_SECONDS, began, meaning))
    return tuple(checks)


def check_noise(
    laboratory: Laboratory,
    profile: Profile,
    *,
    trainer: Trainer = trained,
    plant: Callable[[MarketData], MarketData] = lambda market: market,
) -> tuple[Check, ...]:
    """Train on random walks, trade the rest of them with fees, and hold the results to the golden rule."""
    began = time.monotonic()
    curves = []
    for seed in range(1, NOISE_SEEDS + 1):
        market = plant(laboratory.market(100 + seed))
        prepared, rows = laboratory.prepare(market)
        network = trainer(prepared, laboratory.config, laboratory.hyperparameters, seed, NOISE_STEPS)
        result = laboratory.trade(network, market, rows)
        curves.append(EquityCurve(market.tape.ts_close[slice(*rows)], result.equity))
    earned = [curve.equity[-1] / curve.equity[0] - 1.0 for curve in curves]
    error = float(np.std(earned, ddof=1) / np.sqrt(len(earned)))
    return (
        _at_most(
            "noise", float(_passes(curves, profile)), 0.0, began,
            f"of {NOISE_SEEDS} models of random walks that pass the golden rule out of sample",
        ),
        _at_most(
            "noise after costs", float(np.mean(earned)) / max(error, 1e-12), NOISE_ERRORS, began,
            "their mean return after costs, in standard errors",
        ),
    )  # fmt: skip


def check_look_ahead(
    history: History, spec: FeatureSpec, *, features: Features = compute_features, samples: int = SAMPLES
) -> Check:
    """Compute features on history cut at some closes; their last row must be that of the whole history, bit for bit."""
    began = time.monotonic()
    whole = features(*history, spec)
    generator = np.random.default_rng(0)
    warm = np.flatnonzero(whole.ready)
    picked = np.unique(np.append(generator.choice(warm[:-1], samples - 1, replace=False), warm[-1]))
    known = [(int(whole.last_base[row]), _row(whole, row)) for row in picked]
    differ = sum(_row(features(*_cut(history, 0, last + 1), spec), -1) != row for last, row in known)
    return _at_most("look-ahead", float(differ), 0.0, began, f"of {len(picked)} rows that change with what comes later")


def check_warm_up(
    history: History,
    spec: FeatureSpec,
    *,
    features: Features = compute_features,
    warmup_bars: int | None = None,
    samples: int = 8,
) -> Check:
    """Compute features on history that begins a warm-up before some closes; compare with those on the whole."""
    began = time.monotonic()
    warmup = spec.warmup_bars if warmup_bars is None else warmup_bars
    per_decision = interval_ns(spec.decision_interval) // interval_ns(spec.base_interval)
    whole = features(*history, spec)
    deviation = np.std(whole.features[whole.ready], axis=0, dtype=np.float64)
    rows = np.linspace(2 * warmup, len(whole.ts_close) - 1, samples).astype(int)
    worst = 0.0
    for row in rows:
        end = int(whole.last_base[row]) + 1
        short = features(*_cut(history, end - (warmup + 1) * per_decision, end), spec)
        drift = np.abs(short.features[-1].astype(np.float64) - whole.features[row])
        worst = max(worst, float(np.max(drift / np.where(deviation > 0.0, deviation, 1.0))))
    return _at_most(
        "warm-up", worst, DRIFT, began, f"drift of a row after {warmup:,} bars against all bars, in standard deviations"
    )


def check_determinism(laboratory: Laboratory, *, trainer: Trainer = trained) -> Check:
    """Train twice with one seed and count the different models."""
    began = time.monotonic()
    prepared, _ = laboratory.prepare(laboratory.market(1))
    found = {
        hashlib.sha256(
            network_to_onnx(trainer(prepared, laboratory.config, laboratory.hyperparameters, 7, SAME_STEPS))
        ).hexdigest()
        for _ in range(2)
    }
    return _at_most(
        "determinism", float(len(found)), 1.0, began, "different model files of two trainings with one seed"
    )


def _passes(curves: Sequence[EquityCurve], profile: Profile) -> int:
    """Return how many of some trials' curves pass the rules that a curve alone can answer."""
    tracks = [track(daily_returns(curve)[1]) for curve in curves]
    sharpes = [record.sharpe for record in tracks if record is not None]
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
    passes = 0
    for curve, record in zip(curves, tracks, strict=True):
        figures = {
            "sharpe": sharpe(curve),
            "annualised_return": annualised_return(curve),
            "total_return": total_return(curve),
            "max_drawdown": max_drawdown(curve),
            "deflated_sharpe": record and deflated_sharpe(record, trials=len(curves), variance=variance),
        }
        limits = {rule: limit for rule, limit in profile.limits.items() if rule in figures}
        passes += passed(judge(figures, profile._replace(limits=limits)))
    return passes


def _cut(history: History, first: int, end: int) -> History:
    """Return base bars first ... end - 1, and the fundings that become known on them."""
    bars, funding = history
    cut = Bars(bars.ts_close[first:end], *(column[first:end] for column in bars[1:]))
    known = funding.ts <= cut.ts_close[-1]
    if first > 0:
        known &= funding.ts > bars.ts_close[first - 1]
    return History(cut, Funding(funding.ts[known], funding.rate[known]))


def _row(frame: FeatureFrame, row: int) -> tuple[bytes, ...]:
    """Return all that a frame says of a row, as bytes, but for its place."""
    columns: tuple[npt.NDArray[Any], ...] = frame[:-1]
    return tuple(np.asarray(column[row]).tobytes() for column in columns)


def _at_least(check: str, figure: float, limit: float, began: float, meaning: str) -> Check:
    return Check(
        check=check, figure=figure, limit=limit, sense="at_least", passed=figure >= limit,
        seconds=round(time.monotonic() - began, 3), meaning=meaning,
    )  # fmt: skip


def _at_most(check: str, figure: float, limit: float, began: float, meaning: str) -> Check:
    return Check(
        check=check, figure=figure, limit=limit, sense="at_most", passed=figure <= limit,
        seconds=round(time.monotonic() - began, 3), meaning=meaning,
    )  # fmt: skip
