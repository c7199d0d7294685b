"""The six algorithms against their canonical networks: distributions, values, actions, memory, export."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC

from adapters.model_store import TrainedWith
from adapters.network import CLIP, tempered
from adapters.onnx_policy import OnnxEnsemble, answers, load_checked
from core.actions import ActionSpec
from core.errors import ArtifactError
from tests.unit.networks import SPEC, WIDTH, observations, trained
from training.export import EQUALITY_ROWS, EQUALITY_TOLERANCE, check_equality, export, network_of
from training.market import Normaliser

ALGORITHMS = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "qrdqn": QRDQN, "sac": SAC, "recurrent_ppo": RecurrentPPO}
ACTOR_CRITIC = ("ppo", "a2c", "recurrent_ppo")
NORMALISER = Normaliser(
    np.random.default_rng(1).normal(size=WIDTH).astype(np.float32),
    np.random.default_rng(2).uniform(0.5, 1.5, WIDTH).astype(np.float32),
)


class Noise(gym.Env):
    """Observations that mean nothing and rewards that depend on the action."""

    def __init__(self, continuous):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (WIDTH,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,)) if continuous else gym.spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action):
        return self._seen(), float(np.sum(action)), False, bool(self.np_random.random() < 0.01), {}

    def _seen(self):
        return self.np_random.normal(size=WIDTH).astype(np.float32)


def algorithm(name, *, activation=torch.nn.Tanh, seed=0, scale=1.0, **arguments):
    """An algorithm with layers that are far from where they began."""
    torch.set_num_threads(1)
    layers = {"pi": [32, 24], "vf": [8]} if name in ACTOR_CRITIC else [32, 24]
    policy = {"net_arch": layers, "activation_fn": activation}
    if name == "recurrent_ppo":
        policy |= {"lstm_hidden_size": 20, "enable_critic_lstm": False}
    if name not in ACTOR_CRITIC:
        arguments |= {"buffer_size": 500}
    kind = "MlpLstmPolicy" if name == "recurrent_ppo" else "MlpPolicy"
    model = ALGORITHMS[name](
        kind, Noise(continuous=name == "sac"), seed=seed, device="cpu", policy_kwargs=policy, **arguments
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15).mul_(scale)
    return model


@pytest.mark.parametrize("activation", [torch.nn.Tanh, torch.nn.ReLU])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_exported_graph_says_what_the_policy_says(name, activation):
    model = algorithm(name, activation=activation)
    network = network_of(model, NORMALISER)
    checked = check_equality(model, network, observations(EQUALITY_ROWS))
    assert checked.rows == EQUALITY_ROWS
    assert checked.max_abs_difference <= EQUALITY_TOLERANCE


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_most_probable_action_is_the_one_that_the_library_would_take(name):
    model = algorithm(name)
    network = network_of(model, NORMALISER)
    x = observations(600).reshape(30, 20, WIDTH)
    scaled = np.clip((x - network.mean) * network.scale, -CLIP, CLIP, dtype=np.float32)
    said, state = answers(network, x)[0], None
    for step, row in enumerate(scaled):
        actions, state = model.predict(row, state, episode_start=np.zeros(20), deterministic=True)
        if name == "sac":
            assert np.abs(np.tanh(said[step, :, 0]) - actions[:, 0]).max() < 1e-5
        else:
            ordered = np.sort(said[step], axis=1)
            clear = ordered[:, -1] - ordered[:, -2] > 1e-5
            assert (said[step].argmax(axis=1) == actions)[clear].all()
            assert clear.mean() > 0.9


def test_the_distribution_of_a_squashed_normal_is_that_of_the_library():
    model = algorithm("sac")
    network = network_of(model, NORMALISER)
    x = observations(1)
    scaled = torch.from_numpy(np.clip((x - network.mean) * network.scale, -CLIP, CLIP)).repeat(100_000, 1)
    with torch.no_grad():
        sampled = model.policy.actor(scaled).numpy()
    mean, std = map(float, answers(network, x[:, np.newaxis])[0][0, 0])
    assert np.arctanh(sampled.clip(-1 + 1e-7, 1 - 1e-7)).mean() == pytest.approx(mean, abs=0.02 * std)
    assert np.arctanh(sampled.clip(-1 + 1e-7, 1 - 1e-7)).std() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_temperature_is_known_again(name):
    model = algorithm(name)
    network = tempered(network_of(model, NORMALISER), 1.7)
    assert check_equality(model, network, observations(EQUALITY_ROWS)).max_abs_difference <= EQUALITY_TOLERANCE


@pytest.mark.parametrize("name", ["dqn", "qrdqn"])
def test_the_confidence_of_values_does_not_depend_on_the_scale_of_rewards(name):
    model = algorithm(name)
    plain = answers(network_of(model, NORMALISER), observations(500)[:, np.newaxis])[0]
    values = model.policy.q_net.q_net if name == "dqn" else model.policy.quantile_net.quantile_net
    with torch.no_grad():
        values[-1].weight.mul_(1e-3)
        values[-1].bias.mul_(1e-3).add_(25.0)
    network = network_of(model, NORMALISER)
    assert np.abs(answers(network, observations(500)[:, np.newaxis])[0] - plain).max() < 1e-3
    assert check_equality(model, network, observations(EQUALITY_ROWS)).max_abs_difference <= EQUALITY_TOLERANCE


@pytest.mark.parametrize("name", ["dqn", "qrdqn"])
def test_the_scale_of_values_is_taken_from_what_was_seen(name):
    model = algorithm(name, learning_starts=100)
    model.learn(60)
    network = network_of(model, NORMALISER)
    seen = model.replay_buffer.observations[:60]
    given = seen / network.scale + network.mean
    logits = np.log(answers(network, given.astype(np.float32))[0][:, 0].astype(float))
    assert (logits.max(axis=1) - logits.mean(axis=1)).mean() == pytest.approx(1.0, abs=0.05)


def rotate_two_gates(network):
    lstm = network.lstm
    order = np.r_[20:40, 0:20, 40:80]
    return network._replace(lstm=lstm._replace(input_weights=lstm.input_weights[:, order]))


def nudge(network):
    weight = network.weights[0].copy()
    weight[3, 4] += 0.01
    return network._replace(weights=(weight, *network.weights[1:]))


def scale_one_bias(network):
    return network._replace(biases=(*network.biases[:-1], network.biases[-1] * np.float32(1.001)))


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        *((name, nudge) for name in ALGORITHMS),
        ("ppo", scale_one_bias),
        ("dqn", scale_one_bias),
        ("recurrent_ppo", rotate_two_gates),
    ],
)
def test_a_planted_difference_is_found(name, defect):
    model = algorithm(name)
    with pytest.raises(ArtifactError, match="differs from the trained network"):
        check_equality(model, defect(network_of(model, NORMALISER)), observations(EQUALITY_ROWS))


def test_layers_that_are_no_plain_perceptron_are_refused():
    torch.set_num_threads(1)
    odd = PPO("MlpPolicy", Noise(continuous=False), device="cpu", policy_kwargs={"activation_fn": torch.nn.ELU})
    with pytest.raises(ArtifactError, match="ELU"):
        network_of(odd, NORMALISER)
    with pytest.raises(ArtifactError, match="a policy of PPO"):
        network_of(PPO("MlpPolicy", Noise(continuous=True), device="cpu"), NORMALISER)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_export_is_written_checked_and_votes(name, tmp_path):
    model = algorithm(name)
    network = network_of(model, NORMALISER)
    x = observations(EQUALITY_ROWS)
    manifest = export(
        tmp_path / name,
        model=model,
        network=network,
        observations=x,
        spec=SPEC,
        actions=ActionSpec(kind="continuous" if name == "sac" else "discrete"),
        instruments=("BTCUSDT-PERP.BINANCE",),
        training=trained(algorithm=name),
        costs=TrainedWith(taker=0.0005, maker=0.0002, away=0.0001, config_hash="h"),
        selection={"validation_sharpe": 1.0},
        calibration=None,
    )
    assert manifest.recurrent_width == (20 if name == "recurrent_ppo" else 0)
    assert len(manifest.golden.observations) == 16
    assert "sb3-contrib" in manifest.versions
    artifact = load_checked(tmp_path / name, spec=SPEC)
    assert artifact.network.kind == network.kind
    levels, confidences = OnnxEnsemble([artifact]).vote(x[0])
    assert -1.0 <= levels[0] <= 1.0
    assert 0.0 < confidences[0] <= 1.0
