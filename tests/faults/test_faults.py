"""Every fault once, and several at once by seed, in the way of a node that trades; `make soak` does hundreds.

Afterwards the node lives, or ended as the table says; it holds what the venue holds, protected; nothing was sent twice;
nothing was opened while the fate of an order was unknown; whoever must be told was told.
"""

import os
import random
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from fault_table import FAULTS
from injection import Course, Injected, faulted
from networks import artifact, random_network
from nodes import Zygote

RUNS = int(os.environ.get("FAULT_RUNS", "6"))
LANES = int(os.environ.get("FAULT_LANES", "4"))
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


def table(found: list[Injected]) -> str:
    """Return a line for each fault: times injected, times survived, worst seconds to recover."""
    rows = defaultdict(list)
    for one in found:
        for name in one.names:
            rows[name].append(one)
    lines = [f"{'fault':45}{'injected':>9}{'hits':>6}{'survived':>9}{'worst s':>9}{'bars':>7}"]
    for name in (*FAULTS, *sorted(set(rows) - set(FAULTS))):
        if some := rows.get(name):
            survived = sum(not one.wrong for one in some)
            hits, bars = sum(one.hits for one in some), max(one.bars for one in some)
            worst = max(one.seconds for one in some)
            lines.append(f"{name:45}{len(some):>9}{hits:>6}{survived:>9}{worst:>9.1f}{bars:>7}")
    return "\n".join(lines)


def failures(found: list[Injected]) -> list[str]:
    """Return what went wrong; a halt without need costs trades, not money, and fails the soak alone."""
    needless = () if "FAULT_RUNS" in os.environ else ("frozen by", "the breaker:", "never struck", "no position came")
    return [
        f"{' + '.join(one.names)}: {each}"
        for one in found
        for each in one.wrong
        if not any(word in each for word in needless)
    ]


def test_after_every_fault_a_node_is_what_the_venue_is(zygote, tmp_path):
    found = injected(zygote, tmp_path, [Course.of(name) for name in FAULTS], seed=5)
    print(f"\n{table(found)}")
    assert failures(found) == []
    assert {name for one in found for name in one.names} == set(FAULTS)


def test_after_several_faults_at_once_a_node_is_what_the_venue_is(zygote, tmp_path):
    found = injected(zygote, tmp_path, combined(RUNS), seed=500)
    print(f"\n{table(found)}")
    assert failures(found) == []
    assert len(found) >= RUNS
