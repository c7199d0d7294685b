"""How the run of a node ends decides its exit code."""

import os
import signal

import pytest

from adapters.node_run import NodeRun
from core.errors import AutotradeError


class Engine:
    """Stands for a node: comes up, does something, ends."""

    def __init__(self, then):
        self.then, self.stopped = then, False

    def handle(self):
        return self

    def stop(self):
        self.stopped = True

    async def run_async(self):
        self.then()


def ran(then):
    """Run a node that does something once it trades; return the run."""
    run = NodeRun(Engine(lambda: then(run)), connect_seconds=60.0, ready=lambda: None)
    run.run()
    return run


def started(then):
    def begin(run):
        run.started()
        then(run)

    return begin


def test_a_node_that_ends_by_itself_has_failed():
    with pytest.raises(AutotradeError, match="nobody wished it"):
        ran(started(lambda _: None))


def test_a_node_that_never_traded_did_not_come_up():
    with pytest.raises(AutotradeError, match="did not come up"):
        ran(lambda _: None)


def test_a_node_whose_end_was_wished_has_done_its_work():
    assert ran(started(lambda run: run.request.ask("enough"))).request.reason == "enough"
    assert ran(started(lambda _: os.kill(os.getpid(), signal.SIGTERM))).request.reason == "SIGTERM"
