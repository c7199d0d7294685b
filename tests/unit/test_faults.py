"""Errors in handlers are kept, and end all deciding."""

from core.faults import Faults, guarded, recorded


class Component:
    def __init__(self):
        self.faults = Faults()
        self.handled = []

    @guarded
    def on_bar(self, value):
        self.handled.append(10 / value)

    @recorded
    def on_fill(self, value):
        self.handled.append(-10 / value)


def test_fills_are_handled_after_a_fault_and_their_own_faults_are_kept():
    component = Component()
    component.on_bar(0)
    component.on_fill(5)
    component.on_fill(0)
    component.on_fill(2)
    assert component.handled == [-2.0, -5.0]
    assert len(component.faults) == 2


def test_what_a_handler_raises_is_kept_with_its_place():
    component = Component()
    component.on_bar(0)
    assert len(component.faults) == 1
    assert component.faults.first.startswith(
        "Component.on_bar raised ZeroDivisionError: division by zero (test_faults.py:"
    )


def test_nothing_is_handled_after_the_first_error():
    component = Component()
    for value in (5, 0, 2, 0):
        component.on_bar(value)
    assert component.handled == [2.0]
    assert len(component.faults) == 1


def test_a_component_without_errors_has_no_faults():
    component = Component()
    component.on_bar(5)
    assert not component.faults
    assert component.faults.first == ""


def test_nothing_is_decided_after_an_interrupt():
    component = Component()
    component.on_bar(5)
    component.faults.interrupted = True
    component.on_bar(5)
    component.on_fill(5)
    assert component.handled == [2.0, -2.0]
    assert component.faults.first == ""
