"""The canonical network inside an algorithm of stable-baselines3 or sb3-contrib, and what its own layers say."""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC

from adapters.network import CLIP, LOG_STD_HIGH, LOG_STD_LOW, Activation, Head, Lstm, Network, tempered
from core.errors import ArtifactError
from training.market import Normaliser

__all__ = ["network_of", "policy_answers"]

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

_ACTIVATIONS: dict[type, Activation] = {torch.nn.Tanh: "Tanh", torch.nn.ReLU: "Relu"}
_TYPICAL_ROWS = 2_048
_NO_GAP = 1e-9


class _Layers(NamedTuple):
    """A policy's layers between its input and its answer; ``last`` float64: weight [in, A] and bias [A]."""

    hidden: Sequence[torch.nn.Module]
    last: tuple[FloatArray, FloatArray]
    head: Head
    lstm: torch.nn.LSTM | None = None


def network_of(model: Any, normaliser: Normaliser) -> Network:
    """Return the canonical network of a trained algorithm's policy; critics stay behind.

    Parameters
    ----------
    model : PPO, A2C, DQN, QRDQN, SAC or RecurrentPPO
        Its policy takes normalised observations.
    normaliser : Normaliser
        Goes into the network.

    Raises
    ------
    ArtifactError
        For another algorithm, or layers that are no plain perceptron with one kind of activation.

    Notes
    -----
    The logits of the value-based ones (DQN; QR-DQN, whose quantiles are averaged) are the advantages ``Q - mean Q``
    divided by a temperature, so that their confidence does not depend on the scale of rewards: the mean distance from
    the best Q to the mean Q over observations of the replay buffer (standard normal ones where it is empty).
    """
    layers = _layers(model)
    network = _raw(layers, normaliser)
    return tempered(network, _spread(model, network)) if isinstance(model, DQN | QRDQN) else network


def policy_answers(model: Any, network: Network, observations: Float32Array) -> FloatArray:
    """Return what an algorithm's own layers say, at the temperature of a network that was made of them.

    Parameters
    ----------
    model : stable_baselines3 algorithm
        Trained.
    network : Network
        `network_of` it, tempered or not; its normaliser and its temperature are read.
    observations : float32[k, B, D]
        k steps of B sequences, not normalised.

    Returns
    -------
    float64[k, B, A]
        Probabilities, or mean and standard deviation.
    """
    scaled = np.clip((observations - network.mean) * network.scale, -CLIP, CLIP, dtype=np.float32)
    temperature = _temperature(model, network)
    with torch.no_grad():
        said = _said(model, torch.from_numpy(scaled)).numpy().astype(np.float64)
    if network.head == "normal":
        log_std = np.clip(said[..., 1] + math.log(temperature), LOG_STD_LOW, LOG_STD_HIGH)
        return np.stack([said[..., 0], np.exp(log_std)], axis=-1)
    logits = (said - said.max(axis=-1, keepdims=True)) / temperature
    powers = np.exp(logits)
    probabilities: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def _said(model: Any, scaled: torch.Tensor) -> torch.Tensor:
    """Return logits, action values, or mean and log deviation, of normalised observations [k, B, D], by the policy."""
    policy = model.policy
    policy.set_training_mode(False)
    steps, rows, width = scaled.shape
    flat = scaled.reshape(-1, width)
    if isinstance(model, RecurrentPPO):
        state = tuple(torch.zeros(1, rows, policy.lstm_actor.hidden_size) for _ in range(2))
        said = []
        for row in scaled:
            distribution, state = policy.get_distribution(row, state, torch.zeros(rows))
            said.append(distribution.distribution.logits)
        return torch.stack(said)
    if isinstance(model, SAC):
        mean, log_std, _ = policy.actor.get_action_dist_params(flat)
        answer = torch.cat([mean, log_std], dim=1)
    elif isinstance(model, DQN):
        answer = _in_double(policy.q_net.q_net, flat)
    elif isinstance(model, QRDQN):
        quantiles = _in_double(policy.quantile_net.quantile_net, flat)
        answer = quantiles.view(len(flat), policy.quantile_net.n_quantiles, -1).mean(dim=1)
    else:
        answer = policy.get_distribution(flat).distribution.logits
    return answer.reshape(steps, rows, -1)


def _in_double(layers: torch.nn.Module, flat: torch.Tensor) -> torch.Tensor:
    """Return what layers say in double precision: what distinguishes actions is small beside the value of them all."""
    answer: torch.Tensor = copy.deepcopy(layers).double()(flat.double())
    return answer


def _layers(model: Any) -> _Layers:
    """Return an algorithm's layers."""
    policy = model.policy
    if isinstance(model, PPO | A2C | RecurrentPPO) and isinstance(model.action_space, spaces.Discrete):
        lstm = policy.lstm_actor if isinstance(model, RecurrentPPO) else None
        return _Layers(list(policy.mlp_extractor.policy_net), _affine(policy.action_net), "softmax", lstm)
    if isinstance(model, DQN):
        *hidden, last = policy.q_net.q_net
        return _Layers(hidden, _centred(*_affine(last)), "softmax")
    if isinstance(model, QRDQN):
        *hidden, last = policy.quantile_net.quantile_net
        weight, bias = _affine(last)
        actions = bias.shape[0] // policy.quantile_net.n_quantiles
        mean = (weight.reshape(len(weight), -1, actions).mean(axis=1), bias.reshape(-1, actions).mean(axis=0))
        return _Layers(hidden, _centred(*mean), "softmax")
    if isinstance(model, SAC) and isinstance(policy.actor.mu, torch.nn.Linear):
        ends = [_affine(policy.actor.mu), _affine(policy.actor.log_std)]
        last_layer = (np.concatenate([w for w, _ in ends], axis=1), np.concatenate([b for _, b in ends]))
        return _Layers(list(policy.actor.latent_pi), last_layer, "normal")
    raise ArtifactError(f"a policy of {type(model).__name__} with {type(policy).__name__} cannot be exported")


def _raw(layers: _Layers, normaliser: Normaliser) -> Network:
    """Return the network at temperature 1."""
    linear = [layer for layer in layers.hidden if isinstance(layer, torch.nn.Linear)]
    between = {type(layer) for layer in layers.hidden if not isinstance(layer, torch.nn.Linear)}
    plain = len(between) == 1 and between <= set(_ACTIVATIONS) and len(layers.hidden) == 2 * len(linear)
    lstm = layers.lstm
    if not plain or (lstm is not None and (lstm.num_layers != 1 or lstm.bidirectional or not lstm.bias)):
        found = [type(layer).__name__ for layer in layers.hidden]
        raise ArtifactError(f"a policy of layers {found} cannot be exported; use linear ones and one activation")
    affine = [*(_affine(layer) for layer in linear), layers.last]
    return Network(
        normaliser.mean,
        normaliser.scale,
        tuple(np.ascontiguousarray(weight, dtype=np.float32) for weight, _ in affine),
        tuple(np.ascontiguousarray(bias, dtype=np.float32) for _, bias in affine),
        _ACTIVATIONS[between.pop()],
        layers.head,
        None if lstm is None else _lstm(lstm),
    )


def _lstm(lstm: torch.nn.LSTM) -> Lstm:
    """Return a recurrent layer; torch has the gates in the order that is wanted."""
    return Lstm(
        np.ascontiguousarray(lstm.weight_ih_l0.detach().numpy().T),
        np.ascontiguousarray(lstm.weight_hh_l0.detach().numpy().T),
        lstm.bias_ih_l0.detach().numpy() + lstm.bias_hh_l0.detach().numpy(),
    )


def _affine(layer: Any) -> tuple[FloatArray, FloatArray]:
    """Return a linear layer as weight [in, out] and bias [out]."""
    return layer.weight.detach().numpy().T.astype(np.float64), layer.bias.detach().numpy().astype(np.float64)


def _centred(weight: FloatArray, bias: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Take the mean over the actions out of action values: softmax does not see it, and float32 has the digits back."""
    return weight - weight.mean(axis=1, keepdims=True), bias - bias.mean()


def _spread(model: Any, network: Network) -> float:
    """Return the mean distance from the best to the mean action value over typical observations."""
    buffer = model.replay_buffer
    filled = 0 if buffer is None else buffer.buffer_size if buffer.full else buffer.pos
    if filled:
        rows = np.linspace(0, filled * buffer.n_envs - 1, _TYPICAL_ROWS).astype(int)
        typical = buffer.observations[rows // buffer.n_envs, rows % buffer.n_envs]
    else:
        typical = np.random.default_rng(0).normal(size=(_TYPICAL_ROWS, network.shape[0]))
    with torch.no_grad():
        values = _said(model, torch.from_numpy(typical[np.newaxis].astype(np.float32))).numpy()[0]
    gap = float((values.max(axis=1) - values.mean(axis=1)).mean(dtype=np.float64))
    return gap if gap > _NO_GAP else 1.0


def _temperature(model: Any, network: Network) -> float:
    """Return by what a network's confidence was tempered, read from its last layer and the algorithm's."""
    weight, bias = _layers(model).last
    if network.head == "normal":
        return math.exp(float(network.biases[-1][1]) - float(bias[1]))
    return float(np.linalg.norm(weight) / np.linalg.norm(network.weights[-1].astype(np.float64)))
