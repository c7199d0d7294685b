"""Every fault once, and several at once by seed, in the way of a node that trades; `make soak` does hundreds.

Afterwards the node lives, or ended as the table says; it holds what the venue holds, protected; nothing was sent twice;
nothing was opened while the fate of an order was unknown; whoever must be told was told.
"""

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from fault_table import FAULTS
from injection import Course, Injected, faulted
from networks import artifact, random_network
from nodes import Zygote
from outcomes import kept, table

RUNS = int(os.environ.get("FAULT_RUNS", "6"))
LANES = int(os.environ.get("FAULT_LANES", "6"))
MIXED = [name for name, fault in FAULTS.items() if not fault.halts]


@pytest.fixture(scope="module")
def zygote():
    found = Zygote()
    yield found
    found.close()


def combined(runs: int, seed: int = 5) -> list[Course]:
    """Return random combinations of two to four faults, each at a random time."""
    rng = random.Random(seed)
    courses = []
    for _ in range(runs):
        names = tuple(rng.sample(MIXED, rng.choice((2, 2, 3, 4))))
        courses.append(Course(names, tuple(rng.choice((0, 0, rng.randrange(40))) for _ in names)))
    return courses


def injected(zygote, folder: Path, courses: list[Course], seed: int) -> list[Injected]:
    """Share the courses out among nodes that run at the same time."""
    models = [artifact(folder / "m1", random_network(3, hidden=(16, 16)))]
    with ThreadPoolExecutor(LANES) as pool:
        shares = [(folder / f"lane-{lane}", models, courses[lane::LANES], seed + 1_000 * lane) for lane in range(LANES)]
        lanes = [pool.submit(faulted, zygote, *share) for share in shares]
        return [one for lane in lanes for one in lane.result()]


def failures(found: list[Injected]) -> list[str]:
    """Show what came of them, keep it where the environment says (``FAULT_TABLE``), return what went wrong."""
    print(f"\n{table(found)}")
    if "FAULT_TABLE" in os.environ:
        kept(found, Path(os.environ["FAULT_TABLE"]))
    return [f"{' + '.join(one.names)}: {each}" for one in found for each in one.wrong]


def test_every_fault_tells_a_person_or_says_why_not():
    assert [name for name, fault in FAULTS.items() if bool(fault.alert) == bool(fault.quiet)] == []


def test_after_every_fault_a_node_is_what_the_venue_is(zygote, tmp_path):
    found = injected(zygote, tmp_path, [Course.of(name) for name in FAULTS], seed=5)
    assert failures(found) == []
    assert {name for one in found for name in one.names} == set(FAULTS)


def test_after_several_faults_at_once_a_node_is_what_the_venue_is(zygote, tmp_path):
    found = injected(zygote, tmp_path, combined(RUNS), seed=500)
    assert failures(found) == []
    assert len(found) >= RUNS
