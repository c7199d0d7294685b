"""A warm start: a policy learns to do what hindsight would have done on the range that it is fitted on.

The teacher is dynamic programming over the levels with costs: for every row, and whatever level is held, it knows the
level that earns the most until the end of the range. It sees the future, so it is shown only what lies within the fit,
and it is a start, not a goal: what it does by knowing noise no network can learn from the features; what remains is how
returns depend on them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates

from core.compiled import compiled
from core.costs import CostParams
from core.simulation import X, advance, start, state_size
from core.tape import C, R, Tape
from training.episode import Rules, start_rows, write_observation
from training.hyperparameters import WarmStartParams
from training.market import MarketData

__all__ = ["Lessons", "demonstrate", "imitate", "teach"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Lessons(NamedTuple):
    """What accounts saw and what the teacher would have done: E episodes of T rows.

    ``observations`` float32[E, T, D] as a policy sees them, ``actions`` int64[E, T] indices of levels, ``counted``
    bool[E, T]: the row could be decided on.
    """

    observations: npt.NDArray[np.float32]
    actions: IntArray
    counted: npt.NDArray[np.bool_]


def teach(tape: Tape, rows: tuple[int, int], levels: FloatArray, costs: CostParams) -> IntArray:
    """Return the best action in hindsight for every row and every level that may be held.

    Parameters
    ----------
    tape : Tape
        History.
    rows : tuple[int, int]
        Half-open range; no price after the close of its last row is looked at.
    levels : float64[A]
        The action map.
    costs : CostParams
        A change of level costs taker fee, half the spread and slippage, as do exits.

    Returns
    -------
    int64[n, A]
        Entry [k, a]: the action to take at row ``rows[0] + k`` while level a is held. A decision fills at the next
        open; one that reverses a position closes it first (`core.decision`).
    """
    first, end = rows
    growth = np.zeros(max(end - first, 0))
    if len(growth) > 2:
        prices = tape.rows[first : end - 1, R.open_after]
        paid = np.append(0.0, np.cumsum(tape.funding[:, 1]))[tape.clock[first : end - 1, C.first_funding]]
        growth[:-2] = np.diff(np.log(prices)) - np.diff(paid)
    return _best_actions(np.nan_to_num(growth), tape.ready[first:end], levels, costs.taker + costs.away)


@compiled
def _best_actions(growth: FloatArray, ready: npt.NDArray[np.bool_], levels: FloatArray, cost: float) -> IntArray:
    """Return the actions of `teach`; a unit of level earns growth[k] from the fill of row k to that of the next."""
    n, width = growth.shape[0], levels.shape[0]
    flat = int(np.argmin(np.abs(levels)))
    best = np.empty((n, width), dtype=np.int64)
    value, worth = np.empty(width), np.empty(width)
    for a in range(width):
        value[a] = -cost * abs(levels[a])
    for k in range(n - 1, -1, -1):
        for held in range(width):
            best[k, held] = held
            worth[held] = levels[held] * growth[k] + value[held]
            if not ready[k]:
                continue
            for action in range(width):
                taken = flat if levels[action] * levels[held] < 0.0 else action
                found = levels[taken] * growth[k] - cost * abs(levels[taken] - levels[held]) + value[taken]
                if found > worth[held]:
                    best[k, held], worth[held] = action, found
        value[:] = worth
    return best


@compiled
def _follow(
    tape: Tape,
    first: int,
    starts: IntArray,
    best: IntArray,
    slips: IntArray,
    rules: Rules,
    observations: npt.NDArray[np.float32],
    actions: IntArray,
    counted: npt.NDArray[np.bool_],
) -> None:
    """Trade episodes as the teacher says, but for the slips (actions; -1 = none), and write down what it says."""
    flat = int(np.argmin(np.abs(rules.levels)))
    state = np.zeros(state_size(rules.params))
    for e in range(starts.shape[0]):
        row = starts[e]
        start(state, tape, row, rules.starting_equity, rules.params)
        held = flat
        for t in range(actions.shape[1]):
            write_observation(state, tape, row, rules, observations[e, t])
            actions[e, t] = best[row - first, held]
            counted[e, t] = tape.rows[row, R.ready] == 1.0
            action = slips[e, t] if slips[e, t] >= 0 else actions[e, t]
            advance(state, tape, row, rules.levels[action], 1.0, True, rules.instrument, rules.params, rules.costs)
            held = action if state[X.lots] * rules.levels[action] > 0.0 else flat
            row += 1


def demonstrate(
    market: MarketData, rules: Rules, rows: tuple[int, int], *, episodes: int, bars: int, slip: float, seed: int
) -> Lessons:
    """Return lessons from one market.

    Parameters
    ----------
    market : MarketData
        Features as the policy sees them.
    rules : Rules
        Of an environment with discrete actions.
    rows : tuple[int, int]
        Half-open range in which episodes lie, and which the teacher knows.
    episodes, bars : int
        How many, and how long.
    slip : float
        Probability of a random action at a row.
    seed : int
        Of starts and slips.
    """
    generator = np.random.default_rng(seed)
    starts = generator.choice(start_rows(market.tape, *rows, bars), size=episodes)
    shape = (episodes, bars)
    slips = np.where(generator.random(shape) < slip, generator.integers(len(rules.levels), size=shape), -1)
    lessons = Lessons(
        np.empty((*shape, market.tape.features.shape[1] + 5), dtype=np.float32),
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.bool_),
    )
    best = teach(market.tape, rows, rules.levels, rules.costs)
    _follow(market.tape, rows[0], starts, best, slips, rules, *lessons)
    return lessons


def imitate(model: Any, lessons: Sequence[Lessons], params: WarmStartParams, *, seed: int) -> float:
    """Fit an actor-critic's policy to lessons by maximum likelihood; return the mean one of the last epoch.

    The value function and the optimiser of the training stay as they are. A recurrent policy begins every piece of
    ``n_steps`` rows with an empty memory, as it is trained later.
    """
    policy = model.policy
    recurrent = isinstance(model, RecurrentPPO)
    length = model.n_steps if recurrent else 1
    together = _cut(lessons, length)
    optimiser = torch.optim.Adam(policy.parameters(), lr=params.learning_rate)
    generator = np.random.default_rng(seed)
    policy.set_training_mode(True)
    for _ in range(params.epochs):
        likelihoods = []
        for piece in _batches(together, max(params.batch_size // length, 1), generator):
            observations = torch.from_numpy(piece.observations.reshape(-1, piece.observations.shape[-1]))
            actions = torch.from_numpy(piece.actions.reshape(-1))
            if recurrent:
                empty = torch.zeros(1, len(piece.actions), policy.lstm_actor.hidden_size)
                states = RNNStates((empty, empty), (empty, empty))
                likelihood = policy.evaluate_actions(observations, actions, states, torch.zeros(len(actions)))[1]
            else:
                likelihood = policy.evaluate_actions(observations, actions)[1]
            counted = torch.from_numpy(piece.counted.reshape(-1))
            loss = -likelihood[counted].mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            likelihoods.append(-loss.item())
    return float(np.exp(np.mean(likelihoods)))


def _cut(lessons: Sequence[Lessons], length: int) -> Lessons:
    """Return lessons of all markets in pieces of ``length`` rows; what is over at the end of an episode is left out."""

    def together(place: int) -> Any:
        parts = [lesson[place] for lesson in lessons]
        whole = [part[:, : part.shape[1] // length * length] for part in parts]
        return np.concatenate([part.reshape(-1, length, *part.shape[2:]) for part in whole])

    pieces = Lessons(together(0), together(1), together(2))
    return _chosen(pieces, pieces.counted.any(axis=1))


def _batches(lessons: Lessons, size: int, generator: np.random.Generator) -> Iterator[Lessons]:
    order = generator.permutation(len(lessons.actions))
    for begin in range(0, len(order), size):
        yield _chosen(lessons, order[begin : begin + size])


def _chosen(lessons: Lessons, places: npt.NDArray[Any]) -> Lessons:
    return Lessons(lessons.observations[places], lessons.actions[places], lessons.counted[places])
