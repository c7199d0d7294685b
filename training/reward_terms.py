"""What the reward of a policy is made of, for the logs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.env import TradingEnv

__all__ = ["mean_reward_terms"]


def mean_reward_terms(model: Any, envs: Sequence[TradingEnv]) -> dict[str, float]:
    """Trade an episode of each environment, always the same, without exploration; return each term's mean a decision.

    Nothing that the training draws from is touched.
    """
    terms: list[dict[str, float]] = []
    for env in envs:
        observation, _ = env.reset(seed=0)
        state, first, over = None, True, False
        while not over:
            action, state = model.predict(observation, state=state, episode_start=np.array([first]), deterministic=True)
            observation, _, terminated, truncated, info = env.step(action)
            first, over = False, terminated or truncated
            terms.append(info["reward_terms"])
    return {f"reward/{name}": float(np.mean([term[name] for term in terms])) for name in terms[0]}
