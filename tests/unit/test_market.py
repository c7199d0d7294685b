"""History that is trained on: rows by their close, and a normaliser that knows the past alone."""

import numpy as np

from core.features import feature_spec
from tests.unit.test_env import market
from training.market import fit_normaliser, normalised, rows_between
from training.prepared import Span, prepare_markets

SPEC = feature_spec("1m", "5m")


def split(data):
    ts = data.tape.ts_close
    return prepare_markets([data], SPEC, span=Span((int(ts[0]), int(ts[299])), (int(ts[309]), int(ts[-1]))))


def test_the_normaliser_knows_the_fit_range_alone_and_leaves_the_position_as_it_is():
    data = market(7)
    cut = split(data)
    assert cut.fit_rows == ((1, 300),)
    assert cut.validation_rows == ((310, 400),)
    rows = data.tape.features[1:300][data.tape.ready[1:300]]
    assert np.allclose(cut.normaliser.mean[:6], rows.mean(axis=0), atol=1e-6)
    assert np.allclose(cut.normaliser.scale[:6], 1 / rows.std(axis=0), rtol=1e-5)
    assert cut.normaliser.mean[6:].tolist() == [0.0] * 5
    assert cut.normaliser.scale[6:].tolist() == [1.0] * 5
    future = data.tape._replace(features=data.tape.features.copy())
    future.features[300:] += 100.0
    again = split(data._replace(tape=future))
    assert np.array_equal(again.normaliser.mean, cut.normaliser.mean)
    scaled = normalised(data.tape, cut.normaliser, clip=10.0)
    assert scaled.features.dtype == np.float32
    assert np.abs(scaled.features[1:300].mean(axis=0)).max() < 0.2


def test_a_feature_that_never_varies_is_not_blown_up():
    rows = np.ones((10, 2), dtype=np.float32)
    rows[:, 1] = np.arange(10)
    assert fit_normaliser(rows, position_inputs=0).scale[0] == 1.0


def test_rows_are_chosen_by_their_close():
    tape = market(decisions=10).tape
    ts = tape.ts_close
    assert rows_between(tape, int(ts[2]), int(ts[5])) == (3, 6)
