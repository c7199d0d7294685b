"""Kill -9 at every state of an order and stage of a decision, where orders fill in parts (`kills.py`)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kills import SHARE, absent, lived
from nodes import Zygote


@pytest.fixture(scope="module")
def zygote():
    found = Zygote()
    yield found
    found.close()


@pytest.mark.parametrize("life", [1, 3])
def test_a_node_killed_at_any_moment_goes_on_with_what_the_venue_has(life, zygote, tmp_path):
    report = lived(life, zygote, tmp_path / "life")
    print(f"\n{report.text}")
    assert report.wrong == []
    assert report.killed.total() >= SHARE
    assert absent(report) == []
