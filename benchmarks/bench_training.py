"""Training: steps of the environment alone, and with the trainer around it, on a synthetic market."""

import sys
import time

import msgspec
import numpy as np

import configs
from benchmarks.__main__ import Row, main
from core.actions import ActionSpec
from core.bars import Bars, Funding
from core.decision import Instrument
from core.features import feature_spec
from training import hyperparameters
from training.market import MarketData, from_bars
from training.train import prepare_markets, train
from training.vec_env import CompiledVecEnv

MINUTE_NS = 60_000_000_000
DAYS = 200
FREQAI_STEPS = 1_160
"""Steps a second of FreqAI's defaults with PPO on the reference machine."""


def synthetic_market() -> MarketData:
    """Return a random walk with features, a seeded one."""
    rng = np.random.default_rng(0)
    n = DAYS * 1440
    close = 30_000.0 * np.exp(np.cumsum(rng.standard_t(4, n) * 0.0005))
    open_ = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(open_, close) * (1.0 + np.abs(rng.normal(0.0, 0.0003, n)))
    low = np.minimum(open_, close) * (1.0 - np.abs(rng.normal(0.0, 0.0003, n)))
    ts_close = 19_000 * 1440 * MINUTE_NS + MINUTE_NS * np.arange(1, n + 1, dtype=np.int64)
    volume = rng.lognormal(2.0, 0.5, n)
    prices = (np.rint(x * 10.0) / 10.0 for x in (open_, high, low, close))
    bars = Bars(ts_close, *prices, volume, volume * rng.random(n))
    funding = Funding(ts_close[479::480], rng.normal(1e-4, 1e-4, n // 480))
    filters = Instrument(0.1, 0.001, 1, 1_000_000, 5.0)
    return from_bars("SYNTHUSDT-PERP.BINANCE", filters, bars, funding, feature_spec())


def environment_steps(market: MarketData, accounts: int, *, hold: int, calls: int = 1_500) -> float:
    """Return the steps a second of accounts that change their action every ``hold`` decisions; the best of three."""
    config, hyper = configs.load("train"), hyperparameters.load()
    episode = msgspec.structs.replace(hyper.environment, accounts=accounts)
    env = CompiledVecEnv(
        [market], params=config.decision_params(), costs=config.cost_params(), actions=ActionSpec(), episode=episode
    )
    env.seed(1)
    env.reset()
    rng = np.random.default_rng(1)
    actions = np.repeat(rng.integers(5, size=(calls // hold, accounts)), hold, axis=0)
    env.step(actions[0])
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        for action in actions:
            env.step(action)
        best = max(best, len(actions) * accounts / (time.perf_counter() - began))
    return best


def trainer_steps(market: MarketData, algorithm: str, timesteps: int) -> float:
    """Return the decisions a second of a whole training, judging its checkpoints included."""
    config, hyper = configs.load("train"), hyperparameters.load()
    ts = market.tape.ts_close
    prepared = prepare_markets(
        [market], feature_spec(), start_ns=int(ts[0]) - 1, end_ns=int(ts[-1]), validation_share=0.25
    )
    arguments = {"algorithm": algorithm, "seed": 1, "actions": ActionSpec()}
    train(prepared, config, hyper, timesteps=1, **arguments)
    began = time.perf_counter()
    trained = train(prepared, config, hyper, timesteps=timesteps, **arguments)
    return trained.timesteps / (time.perf_counter() - began)


def rows() -> list[Row]:
    """Measure."""
    market = synthetic_market()
    found: list[Row] = []
    for accounts in (64, 256, 1024):
        for hold, name in ((1, "a new action a decision"), (25, "an action held 25 decisions")):
            value = environment_steps(market, accounts, hold=hold)
            goal = ">= 5000000" if accounts == 256 else ""
            found.append(Row(row=f"environment, {accounts} accounts, {name}", value=value, unit="steps/s", goal=goal))
    for algorithm in ("ppo", "a2c"):
        value = trainer_steps(market, algorithm, 300_000)
        goal = f">= {50 * FREQAI_STEPS}" if algorithm == "ppo" else ""
        found.append(Row(row=f"training, {algorithm}, end to end", value=value, unit="steps/s", goal=goal))
    return found


if __name__ == "__main__":
    sys.exit(main(["bench_training"]))
