"""Hyper-parameters as data: ``configs/hyperparameters.toml``, checked."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

import configs
from core.errors import ConfigError

__all__ = [
    "A2CParams",
    "DQNParams",
    "EpisodeParams",
    "Hyperparameters",
    "NetworkParams",
    "PPOParams",
    "QRDQNParams",
    "RecurrentPPOParams",
    "SACParams",
    "SelectionParams",
    "WarmStartParams",
    "load",
]

type Count = Annotated[int, Meta(ge=1)]
type Share = Annotated[float, Meta(ge=0.0, le=1.0)]
type Rate = Annotated[float, Meta(gt=0.0, le=1.0)]
type Positive = Annotated[float, Meta(gt=0.0)]
type NotNegative = Annotated[float, Meta(ge=0.0)]


class _Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section that refuses unknown keys."""


class EpisodeParams(_Params, frozen=True, kw_only=True):
    """The environment.

    ``accounts`` stepped side by side; ``episode_bars`` decision bars an episode; ``starting_equity`` quote currency;
    ``ruin``: share of it at which an episode ends. Rewards are ``reward_scale`` times the sum of ``growth_weight``
    times the change of log equity, less ``drawdown_weight`` times the growth of the episode's drawdown, less
    ``turnover_weight`` times notional / equity, less ``drift_weight`` times what the exposure earned from the mean
    drift of the range, plus ``sharpe_weight`` times the differential Sharpe ratio of the log equity change with
    adaptation rate ``sharpe_rate``. Each episode's costs are the configured ones times a factor that is drawn between
    ``cost_low`` and ``cost_high``.
    """

    accounts: Count
    episode_bars: Count
    starting_equity: Positive
    ruin: Annotated[float, Meta(ge=0.0, lt=1.0)]
    reward_scale: Positive
    growth_weight: NotNegative
    drawdown_weight: NotNegative
    turnover_weight: NotNegative
    drift_weight: NotNegative
    sharpe_weight: NotNegative
    sharpe_rate: Rate
    cost_low: NotNegative
    cost_high: NotNegative


class NetworkParams(_Params, frozen=True, kw_only=True):
    """Hidden layers of the policy and of the value function, which share none."""

    layers: Annotated[tuple[Count, ...], Meta(min_length=1)]
    activation: Literal["Tanh", "Relu"]


class SelectionParams(_Params, frozen=True, kw_only=True):
    """How the checkpoint that is exported is chosen: best of ``checkpoints`` on the last ``validation_share``.

    A checkpoint that holds a position on less than ``min_exposed`` of the rows is taken only where all are like that: a
    policy that does nothing loses nothing and teaches nothing. After ``patience`` checkpoints in a row without a new
    best the training ends. Confidence is calibrated on whether the close ``calibration_horizon_bars`` after a vote lies
    in its direction (`training.calibrate`).
    """

    validation_share: Annotated[float, Meta(gt=0.0, le=0.5)]
    checkpoints: Count
    min_exposed: Share
    patience: Count
    calibration_horizon_bars: Count


class WarmStartParams(_Params, frozen=True, kw_only=True):
    """Imitation of a teacher before the training (`training.imitate`).

    ``episodes`` are shown, ``epochs`` passes made over them in batches of ``batch_size`` decisions. With probability
    ``slip`` a random action is taken at a row, so that what is seen holds mistakes and how the teacher mends them.
    """

    episodes: Count
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    slip: Share


class _ActorCriticParams(_Params, frozen=True, kw_only=True):
    """As stable-baselines3 names them; ``n_steps`` decisions an account between updates."""

    timesteps: Count
    n_steps: Count
    learning_rate: Rate
    gamma: Share
    gae_lambda: Share
    ent_coef: NotNegative
    vf_coef: NotNegative
    max_grad_norm: Positive


class PPOParams(_ActorCriticParams, frozen=True, kw_only=True):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    batch_size: Annotated[int, Meta(ge=2)]
    n_epochs: Count
    clip_range: Rate


class RecurrentPPOParams(PPOParams, frozen=True, kw_only=True):
    """The same with an LSTM of ``lstm_hidden_size`` before the policy's layers; gradients go back ``n_steps``."""

    lstm_hidden_size: Count


class A2CParams(_ActorCriticParams, frozen=True, kw_only=True):
    """Advantage actor-critic (Mnih et al. 2016)."""

    normalize_advantage: bool
    use_rms_prop: bool


class _ReplayParams(_Params, frozen=True, kw_only=True):
    """As stable-baselines3 names them; sizes and intervals in decisions.

    One decision of all accounts is followed by ``gradient_steps`` updates on ``batch_size`` remembered decisions;
    targets look ``n_steps`` decisions ahead.
    """

    timesteps: Count
    buffer_size: Annotated[int, Meta(ge=1, le=500_000)]
    learning_starts: Annotated[int, Meta(ge=0)]
    batch_size: Annotated[int, Meta(ge=2)]
    gradient_steps: Count
    n_steps: Count
    learning_rate: Rate
    gamma: Share
    tau: Rate


class DQNParams(_ReplayParams, frozen=True, kw_only=True):
    """Deep Q-network (Mnih et al. 2015); exploration falls linearly over ``exploration_fraction`` of the training."""

    target_update_interval: Count
    exploration_fraction: Rate
    exploration_initial_eps: Share
    exploration_final_eps: Share
    max_grad_norm: Positive


class QRDQNParams(DQNParams, frozen=True, kw_only=True):
    """The same with ``n_quantiles`` of the return (Dabney et al. 2018)."""

    n_quantiles: Count


class SACParams(_ReplayParams, frozen=True, kw_only=True):
    """Soft actor-critic (Haarnoja et al. 2018); ``ent_coef``: a number, or ``auto_X`` to adapt it from X on."""

    ent_coef: NotNegative | Annotated[str, Meta(pattern=r"^auto(_[0-9]+(\.[0-9]+)?)?$")]


class Hyperparameters(_Params, frozen=True, kw_only=True):
    """All of them."""

    environment: EpisodeParams
    network: NetworkParams
    selection: SelectionParams
    warm_start: WarmStartParams
    ppo: PPOParams
    a2c: A2CParams
    dqn: DQNParams
    qrdqn: QRDQNParams
    sac: SACParams
    recurrent_ppo: RecurrentPPOParams

    def of(self, algorithm: str) -> dict[str, Any]:
        """Return one algorithm's keyword arguments, ``timesteps`` among them."""
        return msgspec.structs.asdict(getattr(self, algorithm))

    def used(self, algorithm: str, *, warm_start: bool) -> dict[str, Any]:
        """Return what a training reads, as plain data: the algorithm's own section and those of all."""
        sections = ["environment", "network", "selection", algorithm, *(["warm_start"] if warm_start else [])]
        used = {name: msgspec.to_builtins(getattr(self, name)) for name in sections}
        del used["selection"]["validation_share"]  # who asks for a training has already drawn the ranges
        return used


def load(path: Path | None = None) -> Hyperparameters:
    """Return the hyper-parameters of a file, by default of the one that comes with the program.

    Raises
    ------
    ConfigError
        For a file that cannot be read, an unknown key, a wrong type or a value out of range.
    """
    path = path or Path(configs.__file__).parent / "hyperparameters.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Hyperparameters)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; restore the file") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}; mend the file") from None
