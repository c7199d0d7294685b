"""Training: steps of the environment alone, and with the trainer around it, beside other projects' in the same run.

Everything here is one thread, so seconds are those of the processor: others may use the machine meanwhile.
"""

import sys
import time

import msgspec
import numpy as np

import configs
from benchmarks.__main__ import Row, main
from benchmarks.peers import Speed, measured
from core.actions import ActionSpec
from core.bars import Bars, Funding
from core.features import feature_spec
from core.situation import Instrument
from training import hyperparameters
from training.env import TradingEnv
from training.market import MarketData, from_bars
from training.train import Span, prepare_markets, train
from training.vec_env import CompiledVecEnv

MINUTE_NS = 60_000_000_000
DAYS = 200
REFERENCE = {"gym-trading-env": Speed(47_500, 1_550), "freqtrade": Speed(12_700, 1_160)}
"""Steps a second on a machine of two cores in 2026, for where a package cannot be installed."""


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


def environment_steps(market: MarketData, accounts: int, *, hold: int, calls: int = 100) -> float:
    """Return the steps a second of accounts that change their action every ``hold`` decisions.

    The best of forty runs of some milliseconds: others use the caches, too.
    """
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
    for _ in range(40):
        began = time.process_time()
        for action in actions:
            env.step(action)
        best = max(best, len(actions) * accounts / (time.process_time() - began))
    return best


def single_steps(market: MarketData, *, steps: int = 5_000) -> float:
    """Return the steps a second of the plain gymnasium environment, one account."""
    config, hyper = configs.load("train"), hyperparameters.load()
    env = TradingEnv(
        market,
        params=config.decision_params(),
        costs=config.cost_params(),
        actions=ActionSpec(),
        episode=hyper.environment,
    )
    env.reset(seed=1)
    actions = np.random.default_rng(1).integers(5, size=steps)
    env.step(actions[0])
    began = time.process_time()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return steps / (time.process_time() - began)


def trainer_steps(market: MarketData, algorithm: str, timesteps: int) -> float:
    """Return the decisions a second of a whole training, judging its checkpoints and calibration included."""
    config, hyper = configs.load("train"), hyperparameters.load()
    ts = market.tape.ts_close
    cut = int(ts[len(ts) * 3 // 4])
    prepared = prepare_markets([market], feature_spec(), span=Span((int(ts[0]) - 1, cut), (cut, int(ts[-1]))))
    train(prepared, config, hyper, algorithm=algorithm, seed=1, timesteps=1)
    began = time.process_time()
    trained = train(prepared, config, hyper, algorithm=algorithm, seed=1, timesteps=timesteps)
    return trained.timesteps / (time.process_time() - began)


def rows() -> list[Row]:
    """Measure."""
    market = synthetic_market()
    found: list[Row] = []

    def add(row: str, value: float, unit: str = "steps/CPU s", goal: str = "") -> None:
        found.append(Row(row=row, value=value, unit=unit, goal=goal))

    for accounts in (64, 256, 1024):
        for hold, name in ((1, "a new action a decision"), (25, "an action held 25 decisions")):
            goal = ">= 5000000" if accounts == 256 else ""
            add(f"environment, {accounts} accounts, {name}", environment_steps(market, accounts, hold=hold), goal=goal)
    add("environment, plain, one account", single_steps(market))
    ppo = trainer_steps(market, "ppo", 300_000)
    add("training, ppo, end to end", ppo)
    add("training, a2c, end to end", trainer_steps(market, "a2c", 300_000))
    for package, name in (("gym-trading-env", "gym-trading-env"), ("freqtrade", "FreqAI")):
        speed = measured(package)
        source = "" if speed else " (reference)"
        speed = speed or REFERENCE[package]
        add(f"{name}, environment{source}", speed.alone)
        add(f"{name}, PPO's defaults{source}", speed.trained)
        add(
            f"training, ppo, over {name}'s{source}",
            ppo / speed.trained,
            "times",
            ">= 50" if package == "freqtrade" else "",
        )
    return found


if __name__ == "__main__":
    sys.exit(main(["bench_training"]))
