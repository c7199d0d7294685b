"""A network on trial: traded alone by the live rules, over the validation range of every market."""

from collections.abc import Sequence

import numpy as np

from adapters.network import Network
from configs.schema import AppConfig
from core.actions import ActionSpec
from core.selection import Calibrated
from training.calibrate import calibrate
from training.env import rules_of
from training.evaluate import Evaluation, evaluate, one_voter
from training.hyperparameters import Hyperparameters
from training.prepared import Prepared

__all__ = ["IDLE_PENALTY", "Judge"]

IDLE_PENALTY = 100.0
"""Taken from the score of a policy that is hardly ever in the market: more than any Sharpe ratio."""


class Judge:
    """Scores networks by the validation range; what it says is used to choose, so it flatters.

    Parameters
    ----------
    prepared : Prepared
        History and its parts.
    config : AppConfig
        Limits, costs and the rules of the vote; the quorum is one.
    hyperparameters : Hyperparameters
        Starting equity, and how often a policy must be in the market.
    actions : ActionSpec
        What the networks' outputs mean.

    Attributes
    ----------
    rules : list[Rules]
        Of each market, with the configured costs.
    """

    def __init__(
        self, prepared: Prepared, config: AppConfig, hyperparameters: Hyperparameters, actions: ActionSpec
    ) -> None:
        params, costs, episode = config.decision_params(), config.cost_params(), hyperparameters.environment
        self._prepared = prepared
        self._horizon_bars = hyperparameters.selection.calibration_horizon_bars
        self.rules = [
            rules_of(market, params, costs, actions, episode, rows)
            for market, rows in zip(prepared.markets, prepared.fit_rows, strict=True)
        ]
        self._tally = one_voter(config.tally_params())
        self._min_exposed = hyperparameters.selection.min_exposed

    def score(self, network: Network) -> float:
        """Return the mean Sharpe ratio over the markets, less `IDLE_PENALTY` where the policy hardly trades."""
        results = self._evaluate(network, self._prepared.validation_rows)
        exposed = float(np.mean([result.exposed for result in results]))
        sharpe = float(np.mean([result.sharpe for result in results]))
        return sharpe if exposed >= self._min_exposed else sharpe - IDLE_PENALTY

    def calibrated(self, network: Network) -> tuple[Network, Calibrated]:
        """Return the network with the same votes and a confidence that says how often they are right."""
        tapes = [market.tape for market in self._prepared.markets]
        rows = self._prepared.validation_rows
        return calibrate(network, tapes, rows, self.rules, self._tally, horizon_bars=self._horizon_bars)

    def figures(self, network: Network) -> dict[str, float]:
        """Return mean figures over the markets, of the validation range and of the range that was fitted on."""
        found: dict[str, float] = {}
        for name, rows in (("validation", self._prepared.validation_rows), ("fit", self._prepared.fit_rows)):
            results = [result.figures() for result in self._evaluate(network, rows)]
            found |= {f"{name}_{key}": round(float(np.mean([r[key] for r in results])), 6) for key in results[0]}
        return found

    def _evaluate(self, network: Network, rows: Sequence[tuple[int, int]]) -> list[Evaluation]:
        parts = zip(self._prepared.markets, rows, self.rules, strict=True)
        return [evaluate([network], market.tape, span, rules, self._tally) for market, span, rules in parts]
