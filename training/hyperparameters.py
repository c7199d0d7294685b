"""Hyper-parameters as data: ``configs/hyperparameters.toml``, checked."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

import configs
from core.errors import ConfigError

__all__ = ["A2CParams", "EpisodeParams", "Hyperparameters", "NetworkParams", "PPOParams", "SelectionParams", "load"]

type Count = Annotated[int, Meta(ge=1)]
type Share = Annotated[float, Meta(ge=0.0, le=1.0)]
type Rate = Annotated[float, Meta(gt=0.0, le=1.0)]
type NotNegative = Annotated[float, Meta(ge=0.0)]


class _Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section that refuses unknown keys."""


class EpisodeParams(_Params, frozen=True, kw_only=True):
    """The environment.

    ``accounts`` stepped side by side; ``episode_bars`` decision bars an episode; ``starting_equity`` quote currency;
    ``ruin``: share of it at which an episode ends. Rewards are ``reward_scale`` times the change of log equity, less
    ``drawdown_weight`` times the growth of the episode's drawdown, less ``turnover_weight`` times notional / equity,
    less ``drift_weight`` times what the exposure earned from the mean drift of the range.
    """

    accounts: Count
    episode_bars: Count
    starting_equity: Annotated[float, Meta(gt=0.0)]
    ruin: Annotated[float, Meta(ge=0.0, lt=1.0)]
    reward_scale: Annotated[float, Meta(gt=0.0)]
    drawdown_weight: NotNegative
    turnover_weight: NotNegative
    drift_weight: NotNegative


class NetworkParams(_Params, frozen=True, kw_only=True):
    """Hidden layers of the policy and of the value function, which share none."""

    layers: Annotated[tuple[Count, ...], Meta(min_length=1)]
    activation: Literal["Tanh", "Relu"]


class SelectionParams(_Params, frozen=True, kw_only=True):
    """How the checkpoint that is exported is chosen: best of ``checkpoints`` on the last ``validation_share``.

    A checkpoint that holds a position on less than ``min_exposed`` of the rows is taken only where all are like that: a
    policy that does nothing loses nothing and teaches nothing.
    """

    validation_share: Annotated[float, Meta(gt=0.0, le=0.5)]
    checkpoints: Count
    min_exposed: Share


class PPOParams(_Params, frozen=True, kw_only=True):
    """As stable-baselines3 names them; ``n_steps`` decisions an account between updates."""

    timesteps: Count
    n_steps: Count
    batch_size: Count
    n_epochs: Count
    learning_rate: Rate
    gamma: Share
    gae_lambda: Share
    clip_range: Rate
    ent_coef: NotNegative
    vf_coef: NotNegative
    max_grad_norm: Annotated[float, Meta(gt=0.0)]


class A2CParams(_Params, frozen=True, kw_only=True):
    """As stable-baselines3 names them; ``n_steps`` decisions an account between updates."""

    timesteps: Count
    n_steps: Count
    learning_rate: Rate
    gamma: Share
    gae_lambda: Share
    ent_coef: NotNegative
    vf_coef: NotNegative
    max_grad_norm: Annotated[float, Meta(gt=0.0)]
    normalize_advantage: bool
    use_rms_prop: bool


class Hyperparameters(_Params, frozen=True, kw_only=True):
    """All of them."""

    environment: EpisodeParams
    network: NetworkParams
    selection: SelectionParams
    ppo: PPOParams
    a2c: A2CParams

    def of(self, algorithm: str) -> dict[str, Any]:
        """Return one algorithm's keyword arguments, ``timesteps`` among them."""
        return msgspec.structs.asdict(self.ppo if algorithm == "ppo" else self.a2c)


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
