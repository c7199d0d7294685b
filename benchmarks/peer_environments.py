"""Steps a second of another project's environment, alone and with stable-baselines3's PPO.

``python peer_environments.py gym-trading-env|freqtrade SECONDS`` prints a JSON object, by processor time. It runs in a
virtual environment of that project (`benchmarks.peers`) and imports nothing of this one. Both see a random walk of
15-minute bars with 60 features.
"""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO

BARS, FEATURES = 20_000, 60


def market() -> pd.DataFrame:
    """Return a random walk of bars with features named as gym-trading-env wants them."""
    rng = np.random.default_rng(0)
    close = 30_000.0 * np.exp(np.cumsum(rng.standard_t(4, BARS) * 0.002))
    open_ = np.concatenate([close[:1], close[:-1]])
    frame = {"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close}
    frame |= {"volume": rng.lognormal(2.0, 0.5, BARS)}
    frame |= {f"feature_{i}": rng.normal(size=BARS).astype(np.float32) for i in range(FEATURES)}
    return pd.DataFrame(frame, index=pd.date_range("2022-01-01", periods=BARS, freq="15min"))


def gym_trading_env() -> Any:
    """Return gym-trading-env's environment: five positions, 5 bps of fees."""
    from gym_trading_env.environments import TradingEnv  # noqa: PLC0415 - one of two is installed

    return TradingEnv(df=market(), positions=[-1, -0.5, 0, 0.5, 1], trading_fees=0.0005, verbose=0)


def freqai() -> Any:
    """Return FreqAI's five-action environment; its reward is the unrealised profit, less work than the example's."""
    from freqtrade.freqai.RL.Base5ActionRLEnv import Base5ActionRLEnv  # noqa: PLC0415 - one of two is installed

    class Environment(Base5ActionRLEnv):
        def calculate_reward(self, action: int) -> float:  # noqa: ARG002
            return float(self.get_unrealized_profit())

    bars = market()
    return Environment(
        df=bars[[f"feature_{i}" for i in range(FEATURES)]].reset_index(drop=True),
        prices=bars[["open", "high", "low", "close"]].reset_index(drop=True),
        df_raw=bars.reset_index(drop=True),
        reward_kwargs={"rr": 1, "profit_aim": 0.025},
        window_size=1,
        config={"stake_amount": "unlimited", "freqai": {"rl_config": {}}, "fee": 0.0005},
        can_short=True,
    )


def alone(env: Any, seconds: float) -> float:
    """Return steps a second under random actions."""
    rng = np.random.default_rng(1)
    actions = rng.integers(env.action_space.n, size=100_000)
    env.reset()
    steps, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        for action in actions[steps % 100_000 :][:100]:
            _, _, terminated, truncated, _ = env.step(int(action))
            steps += 1
            if terminated or truncated:
                env.reset()
    return steps / (time.process_time() - began)


def trained(env: Any, seconds: float, net_arch: list[int]) -> float:
    """Return steps a second of PPO's defaults for about so many seconds, whole rollouts and updates."""
    model = PPO("MlpPolicy", env, device="cpu", seed=1, verbose=0, policy_kwargs={"net_arch": net_arch})
    began = time.process_time()
    while time.process_time() - began < seconds:
        model.learn(2_048, reset_num_timesteps=False)
    return float(model.num_timesteps / (time.process_time() - began))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    make, layers = {"gym-trading-env": (gym_trading_env, [64, 64]), "freqtrade": (freqai, [128, 128])}[sys.argv[1]]
    each = float(sys.argv[2]) / 2
    print(json.dumps({"alone": alone(make(), each), "trained": trained(make(), each, layers)}))
