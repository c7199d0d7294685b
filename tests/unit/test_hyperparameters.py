"""Hyper-parameters: every section is what its algorithm takes, and what makes no sense is refused."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import configs
from core.errors import ConfigError
from tests.unit.small_training import CONFIG, halves, small_hyperparameters
from tests.unit.test_env import market
from training import hyperparameters
from training.algorithms import ALGORITHMS, ON_POLICY, actions_of, build
from training.vec_env import CompiledVecEnv

FILE = Path(configs.__file__).parent / "hyperparameters.toml"
DATA = halves(market(3))


def built(algorithm, hyper):
    env = CompiledVecEnv(
        DATA.markets, params=CONFIG.decision_params(), costs=CONFIG.cost_params(), actions=actions_of(algorithm),
        episode=hyper.environment,
    )  # fmt: skip
    return build(algorithm, env, hyper, seed=1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_is_built_with_every_setting_of_its_section(algorithm):
    hyper = small_hyperparameters()
    model = built(algorithm, hyper)
    settings = msgspec.structs.asdict(getattr(hyper, algorithm))
    del settings["timesteps"]
    elsewhere = {
        "lstm_hidden_size": lambda: model.policy.lstm_actor.hidden_size,
        "n_quantiles": lambda: model.policy.quantile_net.n_quantiles,
        "use_rms_prop": lambda: type(model.policy.optimizer).__name__ == "RMSprop",
        "clip_range": lambda: model.clip_range(1.0),
        "buffer_size": lambda: model.replay_buffer.buffer_size * model.n_envs,
    }
    for name, value in settings.items():
        assert elsewhere.get(name, lambda name=name: getattr(model, name))() == value, name
    hidden = [layer.out_features for layer in model.policy.modules() if isinstance(layer, torch.nn.Linear)]
    assert hidden.count(8) >= 2
    assert any(isinstance(layer, torch.nn.Tanh) for layer in model.policy.modules())
    assert model.device.type == "cpu"
    assert torch.get_num_threads() == torch.get_num_interop_threads() == 1


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - set(ON_POLICY)))
def test_what_a_value_learner_remembers_takes_at_most_300_megabytes(algorithm):
    """Two observations a decision, float32; the largest buffer that may be asked for, at the product's own width."""
    from core.features import feature_spec

    section = type(getattr(hyperparameters.load(), algorithm))
    most = msgspec.json.schema(section)["$defs"][section.__name__]["properties"]["buffer_size"]["maximum"]
    assert most * (2 * feature_spec().observation_width + 4) * np.dtype(np.float32).itemsize <= 300e6


def test_what_a_training_reads_is_told_and_nothing_else():
    hyper = hyperparameters.load()
    used = hyper.used("dqn", warm_start=False)
    assert set(used) == {"environment", "network", "selection", "dqn"}
    assert used["dqn"]["gamma"] == hyper.dqn.gamma
    assert "validation_share" not in used["selection"]
    assert set(hyper.used("ppo", warm_start=True)) == {"environment", "network", "selection", "ppo", "warm_start"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gamma = 0.99", "gamma = 1.5", r"\$.ppo.gamma"),
        ("n_epochs = 4", "n_epoch = 4", "n_epoch"),
        ("batch_size = 4_096", "batch_size = 1", r"\$.ppo.batch_size"),
        ("buffer_size = 200_000", "buffer_size = 2_000_000", r"\$.dqn.buffer_size"),
        ("n_quantiles = 25", "n_quantiles = 0", r"\$.qrdqn.n_quantiles"),
        ('ent_coef = "auto_0.1"', 'ent_coef = "some"', r"\$.sac.ent_coef"),
        ("lstm_hidden_size = 64", "", "lstm_hidden_size"),
        ("patience = 5", "patience = 0", r"\$.selection.patience"),
        ("slip = 0.05", "slip = 2", r"\$.warm_start.slip"),
        ("accounts = 128", 'accounts = "many"', r"\$.environment.accounts"),
        ("[ppo]", "[ppo", "mend the file"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(tmp_path, old, new, said):
    text = FILE.read_text()
    assert old in text
    (tmp_path / "h.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        hyperparameters.load(tmp_path / "h.toml")


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read"):
        hyperparameters.load(tmp_path / "absent.toml")
