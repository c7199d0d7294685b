"""The self-test of the trainer: it passes, and each of its checks is seen to fail with a planted defect."""

import json

import msgspec
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnvWrapper

import cli
import configs
from adapters.network import CLIP
from configs import golden_rule
from core.errors import RefusedError
from core.features import compute_features, feature_spec
from training import checks, hyperparameters, self_test
from training.algorithms import actions_of, build
from training.market import normalised
from training.planted import leaked, random_walk
from training.policy_network import network_of
from training.vec_env import CompiledVecEnv

SPEC = feature_spec("15m", "1h")
CONFIG = configs.load("train")


@pytest.fixture(scope="module")
def laboratory():
    return checks.Laboratory.of(CONFIG, hyperparameters.load())


@pytest.fixture(scope="module")
def history():
    return random_walk(1, 4 * 4 * SPEC.warmup_bars, base_interval="15m", deviation=0.002)


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    """A self-test from the command line: its exit code, and the record that it wrote."""
    studies = tmp_path_factory.mktemp("studies")
    code = cli.main(["train", "--self-test", "--json", "--set", f"catalog.studies_path={studies}"])
    return code, studies / self_test.RECORD


def by_name(found):
    return {check.check: check for check in found}


def broken(wrapper):
    """Return a trainer whose environment is wrapped."""

    def trainer(prepared, config, settings, seed, timesteps):
        market = prepared.markets[0]
        scaled = market._replace(tape=normalised(market.tape, prepared.normaliser, clip=CLIP))
        env = CompiledVecEnv(
            [scaled], params=config.decision_params(), costs=config.cost_params(), actions=actions_of("ppo"),
            episode=settings.environment, rows=prepared.fit_rows,
        )  # fmt: skip
        model = build("ppo", wrapper(env), settings, seed=seed)
        model.learn(timesteps)
        return network_of(model, prepared.normaliser)

    return trainer


class Whole(VecEnvWrapper):
    """No defect."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        return self.venv.step_wait()


class LateReward(Whole):
    """Each decision is paid what the one before it earned."""

    def reset(self):
        self.before = np.zeros(self.num_envs, dtype=np.float32)
        return super().reset()

    def step_wait(self):
        seen, rewards, dones, infos = super().step_wait()
        rewards, self.before = self.before, rewards
        return seen, rewards, dones, infos


class ForeignReward(Whole):
    """Each account is paid what its neighbour earned."""

    def step_wait(self):
        seen, rewards, dones, infos = super().step_wait()
        return seen, np.roll(rewards, 1), dones, infos


def test_the_product_s_trainer_passes_and_the_record_opens_the_gate(passed):
    code, path = passed
    record = msgspec.json.decode(path.read_bytes(), type=self_test.SelfTest)
    assert code == 0
    assert record.passed
    assert [check.check for check in record.checks] == [
        "look-ahead", "warm-up", "determinism", "oracle", "oracle, in time", "oracle without patience",
        "oracle without patience, in time", "noise", "noise after costs",
    ]  # fmt: skip
    self_test.require_passed(path)


@pytest.mark.parametrize(("wrapper", "patient", "hasty"), [(LateReward, True, False), (ForeignReward, False, False)])
def test_a_reward_of_another_bar_or_account_is_found(laboratory, wrapper, patient, hasty):
    found = by_name(checks.check_oracle(laboratory, trainer=broken(wrapper)))
    assert found["oracle"].passed == patient
    assert found["oracle without patience"].passed == hasty
    if not hasty:
        assert found["oracle without patience"].figure < 0.2


def test_a_feature_that_comes_a_bar_late_yields_nothing(laboratory):
    found = by_name(checks.check_oracle(laboratory, plant=lambda market: leaked(market, bars=0)))
    assert found["oracle"].figure < 0.2
    assert not found["oracle"].passed


def test_a_label_leaked_into_the_features_is_found_on_noise(laboratory):
    found = by_name(checks.check_noise(laboratory, golden_rule.load(), plant=leaked))
    assert found["noise"].figure == checks.NOISE_SEEDS
    assert found["noise after costs"].figure > 10.0
    assert not found["noise"].passed
    assert not found["noise after costs"].passed


def scaled_by_all(bars, funding, spec):
    """Features divided by their deviation over the whole history."""
    frame = compute_features(bars, funding, spec)
    return frame._replace(features=frame.features / np.maximum(frame.features.std(axis=0), 1e-6))


def of_the_next_bar(bars, funding, spec):
    """Features that belong to the bar after."""
    frame = compute_features(bars, funding, spec)
    return frame._replace(features=np.roll(frame.features, -1, axis=0))


@pytest.mark.parametrize("features", [scaled_by_all, of_the_next_bar])
def test_a_feature_that_knows_the_future_is_found(history, features):
    honest = checks.check_look_ahead(history, SPEC, samples=50)
    found = checks.check_look_ahead(history, SPEC, features=features, samples=50)
    assert honest.passed
    assert honest.figure == 0.0
    assert not found.passed
    assert found.figure > 25


@pytest.mark.parametrize("bars", [50, 300, 1_000])
def test_a_warm_up_that_is_too_short_is_found(history, bars):
    assert checks.check_warm_up(history, SPEC).passed
    found = checks.check_warm_up(history, SPEC, warmup_bars=bars)
    assert not found.passed
    assert found.figure > 10 * checks.DRIFT


def test_an_unseeded_generator_is_found(laboratory):
    generator = np.random.default_rng()

    def unseeded(prepared, config, settings, seed, timesteps):
        return checks.trained(prepared, config, settings, int(generator.integers(2**31)), timesteps)

    assert checks.check_determinism(laboratory).passed
    found = checks.check_determinism(laboratory, trainer=unseeded)
    assert (found.figure, found.passed) == (2.0, False)


def test_the_gate_is_closed_without_a_record_of_this_code_that_passed(passed, tmp_path):
    _, path = passed
    record = json.loads(path.read_bytes())
    failed = [record["checks"][0], record["checks"][3] | {"figure": 0.41, "passed": False}]
    out = tmp_path / "self_test.json"
    with pytest.raises(RefusedError, match="absent: nobody knows whether the trainer works"):
        self_test.require_passed(out)
    for change, said in (
        ({"checks": failed}, "failed at oracle: 0.41, at least 0.8 is wanted"),
        ({"checks": []}, "has no check"),
        ({"code": "0" * 64}, "is of other code \\(000000000000, this is"),
        ({"versions": record["versions"] | {"torch": "0.1"}}, "made with torch 0.1, this is"),
        ({"versions": record["versions"] | {"magic": "7"}}, "made with magic 7, this is none"),
        ({"checks": 7}, "is no record of a self-test"),
    ):
        out.write_text(json.dumps(record | change))
        with pytest.raises(RefusedError, match=said) as refused:
            self_test.require_passed(out)
        assert "\n" not in str(refused.value)
        assert "autotrade train --self-test" in str(refused.value)


def test_a_self_test_that_fails_ends_with_its_own_exit_code_and_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checks, "DRIFT", 0.0)
    monkeypatch.setattr(self_test, "check_oracle", lambda _: ())
    monkeypatch.setattr(self_test, "check_noise", lambda *_: ())
    assert cli.main(["train", "--self-test", "--set", f"catalog.studies_path={tmp_path}"]) == 3
    told = capsys.readouterr().out
    assert "warm-up" in told
    assert "FAIL" in told
    with pytest.raises(RefusedError, match="failed at warm-up"):
        self_test.require_passed(tmp_path / self_test.RECORD)
