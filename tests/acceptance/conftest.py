"""What the tests of a study share."""

import pytest

from tests.acceptance.tiny_study import study


@pytest.fixture(scope="session")
def tiny(history, tmp_path_factory):
    """The root of a finished study, run in one process and left alone; not to be changed."""
    root = tmp_path_factory.mktemp("tiny")
    assert study(history, root, "--backend", "serial", "--json") == 0
    return root
