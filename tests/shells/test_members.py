"""Who votes: alerts, rows and what a restart finds, with twins of the outside."""

import msgspec
import numpy as np

import configs
from actors.members import Members, MembersParams
from core.errors import ArtifactError
from core.protocols import Offer
from core.serving import Candidate

CONFIG = (
    "serving.shadow_bars=3", "serving.canary_bars=2", 'serving.handover="next_bar"', "ensemble.quorum=2",
    'ensemble.method="performance"',
)  # fmt: skip


class Models:
    """A policy that builds at once; a model named ``bad`` cannot be built."""

    def __init__(self, *names):
        self.candidates = tuple(Candidate(name, f"sha-{name}", 0, None) for name in names)
        self._next = None

    def prepare(self, candidates):
        self._next = tuple(candidates)

    def swap(self):
        if self._next is None:
            return False
        following, self._next = self._next, None
        if any(candidate.model_id == "bad" for candidate in following):
            raise ArtifactError("the ensemble could not be built: planted")
        self.candidates = following
        return True


class Offers:
    def __init__(self, *offers):
        self._offers = offers

    def offers(self, ts_ns, seen):
        return [offer for ts, offer in self._offers if ts <= ts_ns][seen:]


class Kept(dict):
    """A state store in memory, and a journal."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def load(self, key):
        return self.get(key)

    def save(self, key, value):
        self[key] = value

    put = save

    def record(self, kind, row):
        assert kind == "members"
        self.rows.append((row["ts_event"], row["model_id"], row["stage_to"]))


def opened(policy, kept, *offers, store=True):
    params = MembersParams(
        instrument_id="BTC",
        serving=configs.load("backtest", CONFIG).serving_params(),
        quorum=2,
        priors=(1.0,) * len(policy.candidates),
    )
    return Members(params, policy=policy, source=Offers(*offers), store=kept if store else None, journal=kept)


def play(members, bars, *, votes=1.0, closes=None):
    """Play bars; return the alerts of each."""
    told = []
    for k in bars:
        alerts = list(members.seat(k))
        levels = np.broadcast_to(np.asarray(votes, float), len(members.names)).copy()
        close = 100.0 if closes is None else closes[k]
        alerts += members.learn(
            levels, np.full(len(levels), 0.6), ts_event=k, bar=k, close=close, latency_ns=0, flat=True
        )
        told.append([(alert.severity, alert.text) for alert in alerts])
    return told


def came(name):
    return Offer("arrived", Candidate(name, f"sha-{name}", 0, None))


def test_an_arrival_votes_from_the_next_bar_and_every_step_is_a_row():
    kept = Kept()
    members = opened(Models("a", "b"), kept, (2, came("c")))
    assert play(members, range(8)) == [[]] * 8, "nobody is woken for a model that rises"
    rows = [(0, "a", "ACTIVE"), (0, "b", "ACTIVE"), (2, "c", "SHADOW"), (5, "c", "CANARY"), (7, "c", "ACTIVE")]
    assert kept.rows == rows
    assert members.names == ("a", "b", "c")


def test_who_cannot_be_built_is_dropped_and_who_was_refused_is_named():
    kept = Kept()
    refused = Offer("refused", Candidate("torn", "", 0, None), "SHA-256 differs")
    members = opened(Models("a", "b"), kept, (1, came("bad")), (1, refused))
    told = play(members, range(4))
    assert told[1] == [("warning", "BTC: model torn refused: SHA-256 differs")]
    ((severity, text),) = told[2]
    assert severity == "warning"
    assert text.startswith("BTC: model bad dropped: failed_load: the ensemble could not be built: planted")
    assert told[3] == []
    assert members.names == ("a", "b")
    assert kept.rows[2:] == [(1, "bad", "SHADOW"), (1, "torn", "REFUSED"), (2, "bad", "DROPPED")]


def test_the_loss_of_the_quorum_is_told_once():
    members = opened(Models("a", "b"), Kept())
    assert play(members, [0]) == [[]]
    ((warning, critical),) = play(members, [1], votes=[1.0, np.nan])
    assert warning[1] == "BTC: model b dropped: nan_answer: its answer is no number"
    assert critical == ("critical", "BTC: 1 models vote, the quorum is 2: only exits")
    assert play(members, [2, 3]) == [[], []]
    assert members.names == ("a",)
    ((last,),) = play(members, [4], votes=[np.nan])
    assert last[1] == "BTC: model a dropped: nan_answer: its answer is no number"
    assert play(members, [5]) == [[]], "the last set goes on being asked, without weight"


def test_a_withdrawn_model_leaves():
    kept = Kept()
    gone = Offer("withdrawn", Candidate("b", "sha-b", 0, None), "models/b is gone")
    members = opened(Models("a", "b", "c"), kept, (1, gone))
    told = play(members, range(4))
    assert told == [[], [], [("warning", "BTC: model b retired: withdrawn: models/b is gone")], []]
    assert members.names == ("a", "c")


def test_after_a_restart_weights_and_stages_are_what_they_were():
    """Killed after any bar, it goes on as the one that was not."""
    rng = np.random.default_rng(1)
    closes, votes = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, 30))), [1.0, -1.0, 0.5]
    for killed in (4, 9, 20):
        kept = Kept()
        one = opened(Models("a", "b", "c"), kept)
        play(one, range(killed), votes=votes, closes=closes)
        policy = Models("a", "b", "c")
        twin = opened(policy, Kept(), store=False)
        again = opened(Models("a", "b", "c"), kept)
        play(twin, range(killed), votes=votes, closes=closes)
        again.seat(killed)
        twin.seat(killed)
        assert again.weights.tolist() == twin.weights.tolist() != [1.0, 1.0, 1.0]
        play(again, range(killed, 30), votes=votes, closes=closes)
        play(twin, range(killed, 30), votes=votes, closes=closes)
        assert again.weights.tolist() == twin.weights.tolist()
        assert again._roster.snapshot() == twin._roster.snapshot()
        assert msgspec.json.decode(kept["members.BTC"])["members"][0]["founding"] is True


def test_a_dropped_model_stays_out_over_a_restart():
    kept = Kept()
    play(opened(Models("a", "b", "c"), kept), [0], votes=[1.0, np.nan, 1.0])
    again = opened(Models("a", "b", "c"), kept)
    again.seat(1)
    assert again.weights.tolist() == [1.0, 0.0, 1.0]
    play(again, [1, 2])
    assert again.names == ("a", "c")
