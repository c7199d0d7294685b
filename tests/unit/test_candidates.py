"""Choosing members: by validation alone, and never by what comes later."""

import numpy as np

from adapters.ledger import Entry
from core.fills import Fills
from core.outofsample import Run, compounded
from training.candidates import Candidate, chosen, counted

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
NOTHING = Fills(np.empty(0, dtype=np.int64), [], *(np.empty(0) for _ in range(4)))
FOLDS = 3


def run(returns, fold):
    return Run(compounded(np.asarray(returns), first_day=19_700 + 30 * fold), NOTHING)


def field(rng, means):
    """Return candidates whose validation returns have these means (in hundredths) by fold, the tests drawn anew."""
    found = []
    for seed, own in enumerate(means):
        validation = tuple(run(0.01 * mean + NOISE[seed, fold], fold) for fold, mean in enumerate(own))
        test = tuple(run(rng.normal(0.0, 0.02, 30), fold) for fold in range(FOLDS))
        found.append(Candidate("ppo-1", "ppo", seed, (None,) * FOLDS, validation, test))
    return found


NOISE = np.random.default_rng(5).normal(0.0, 0.01, (4, FOLDS, 30))
MEANS = [[1.0, 1.0, 1.0], [0.6, 0.6, 0.6], [0.3, 0.3, 0.3], [0.0, 0.0, 0.0]]


def test_members_are_the_best_on_validation_whatever_the_tests_were():
    choices = {chosen(field(np.random.default_rng(seed), MEANS), count=2) for seed in range(5)}
    assert choices == {((0, 1),) * FOLDS}


def test_a_fold_s_members_do_not_depend_on_later_folds():
    turned = [[1.0, 1.0, -9.0], *MEANS[1:]]
    assert chosen(field(np.random.default_rng(0), turned), count=2) == ((0, 1), (0, 1), (1, 2))


def test_of_equals_the_one_that_moves_differently_joins():
    rng = np.random.default_rng(2)
    first = rng.normal(0.004, 0.01, (FOLDS, 30))
    other = rng.normal(0.004, 0.01, (FOLDS, 30))
    returns = [first, first + rng.normal(0.0, 1e-4, (FOLDS, 30)), other]
    found = [
        Candidate("ppo-1", "ppo", seed, (None,) * FOLDS, tuple(run(own[f], f) for f in range(FOLDS)), ())
        for seed, own in enumerate(returns)
    ]
    for members in chosen(found, count=2):
        assert set(members) != {0, 1}


def entry(trial_id, **changes):
    fields = {"purpose": "study", "study": "a", "candidate": "ppo-1", "algorithm": "ppo", "seed": 1}
    return Entry(trial_id=trial_id, **(fields | {"instruments": (BTC,), "status": "finished"} | changes))


def test_trials_are_counted_once_for_all_their_folds_and_whatever_became_of_them():
    ledger = [
        entry("1", fold=1),
        entry("2", fold=2),
        entry("3", fold=1, seed=2),
        entry("4", fold=2, seed=2, status="running"),
        entry("5", fold=1, seed=3, status="failed"),
        entry("6", study="b"),
        entry("7", study="c", instruments=(ETH, BTC)),
        entry("8", study="d", instruments=(ETH,)),
        entry("9", purpose="self_test"),
        entry("10", purpose="train", study=""),
        entry("11", purpose="train", study=""),
        entry("12", purpose="tune", study="a", candidate="ppo-2", status="failed"),
        *(entry(f"e{k}", purpose="ensemble", candidate="ensemble-1", seed=0, fold=k) for k in range(3)),
        entry("e4", purpose="ensemble", candidate="ensemble-2", seed=0),
    ]
    # a: seeds 1, 2 and 3; b; c; two trainings; one tuned; two ensembles
    assert counted(ledger, (BTC,)) == (3 + 1 + 1 + 2 + 1 + 2, 3)
    assert counted(ledger, (ETH,)) == (2, 0)
    assert counted([], (BTC,)) == (0, 0)


def test_a_tuning_begun_anew_under_its_old_name_counts_again():
    ledger = [entry(trial_id, purpose="tune", study="mine", candidate="ppo-2") for trial_id in ("1", "2")]
    assert counted(ledger, (BTC,)) == (2, 0)
