"""The course of a training: when it is judged, what is kept of it, when it ends, and when it is written down."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from training.checkpoint import snapshot
from training.hyperparameters import SelectionParams

__all__ = ["SAVE_SECONDS", "Course", "Progress"]

SAVE_SECONDS = 60.0
"""A checkpoint is written so long after the last one, even if nothing was judged meanwhile."""


@dataclass
class Progress:
    """What a course remembers: its judgements, and the weights of the best one.

    ``marks`` of the even spacing that are behind it; ``history`` decisions and score of each judgement; ``since_best``
    judgements without a new best; ``stopped`` and ``pruned``: it has ended, and it was the caller who ended it.
    """

    marks: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)
    best: float = 0.0
    chosen: int = 0
    weights: dict[str, Any] | None = None
    since_best: int = 0
    stopped: bool = False
    pruned: bool = False


class Course(BaseCallback):  # type: ignore[misc]  # stable-baselines3 is followed by no type checker here
    """Judges a policy at even spacing, keeps the weights of the best, and ends the training when nothing improves.

    Everything happens at the beginning of a rollout, where a training can be written down and taken up again.

    Parameters
    ----------
    score : Callable[[], float]
        Of the weights as they are; higher is better.
    wanted : int
        Decisions of the whole training.
    selection : SelectionParams
        How often is judged, and with how much patience.
    details : Callable[[], Mapping[str, float]], optional
        What else is logged of the weights at every judgement, by name.
    save : Callable[[dict[str, Any]], None], optional
        Writes a checkpoint.
    progress : Callable[[int, int], None], optional
        Told decisions done and wanted at every rollout.
    judged : Callable[[int, float], bool], optional
        Told decisions done and score at every judgement; False ends the training.
    """

    def __init__(
        self,
        score: Callable[[], float],
        wanted: int,
        selection: SelectionParams,
        *,
        details: Callable[[], Mapping[str, float]] | None,
        save: Callable[[dict[str, Any]], None] | None,
        progress: Callable[[int, int], None] | None,
        judged: Callable[[int, float], bool] | None,
    ) -> None:
        super().__init__()
        self._score, self._wanted, self._selection = score, wanted, selection
        self._details, self._save, self._progress, self._told = details, save, progress, judged
        self._saved_at = time.monotonic()
        self.state = Progress()

    def resume(self, state: Progress) -> None:
        """Go on from where a training was interrupted; the caller hears of its judgements again."""
        self.state = state
        if self._told is not None:
            for timesteps, score in state.history:
                self._told(timesteps, score)

    def finish(self) -> None:
        """Judge the end of a training that was not ended early."""
        if not self.state.stopped:
            self._judge()

    @property
    def timesteps(self) -> int:
        """Decisions trained on."""
        return self.state.history[-1][0]

    def _on_step(self) -> bool:
        return not self.state.stopped

    def _on_rollout_start(self) -> None:
        if self._progress is not None:
            self._progress(self.num_timesteps, self._wanted)
        due = self.num_timesteps >= (self.state.marks + 1) * self._wanted / self._selection.checkpoints
        if due and not self.state.stopped:
            proceed = self._judge()
            self.state.pruned = not proceed
            self.state.stopped = self.state.pruned or self.state.since_best >= self._selection.patience
        if self._save is not None and (due or time.monotonic() - self._saved_at >= SAVE_SECONDS):
            self._save({"model": snapshot(self.model, self.training_env), "course": self.state})
            self._saved_at = time.monotonic()

    def _judge(self) -> bool:
        """Judge the weights as they are; return whether the caller wants to go on."""
        state, timesteps = self.state, int(self.model.num_timesteps)
        state.marks = int(timesteps * self._selection.checkpoints / self._wanted)
        score = self._score()
        state.history.append((timesteps, score))
        state.since_best += 1
        if state.weights is None or score > state.best:
            state.best, state.chosen, state.since_best = score, timesteps, 0
            state.weights = {name: value.clone() for name, value in self.model.policy.state_dict().items()}
        self.logger.record("validation/score", score)
        self.logger.record("validation/best", state.best)
        for name, value in (self._details() if self._details is not None else {}).items():
            self.logger.record(name, value)
        self.logger.dump(timesteps)
        return self._told is None or self._told(timesteps, score)
