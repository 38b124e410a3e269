"""How a worker takes up jobs: one thread of a process for all that waits."""

import threading

import pytest

from mesh.worker import tasks


@pytest.mark.server
def test_one_thread_drains_and_looks_again_when_it_was_asked_meanwhile(monkeypatch):
    began, go_on, drained = threading.Event(), threading.Event(), []

    def run_all(operation: str) -> None:
        drained.append(threading.current_thread().name)
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr(tasks, "run_all", run_all)
    first = threading.Thread(target=tasks.drain, args=("prune",), name="first")
    first.start()
    assert began.wait(10)
    tasks.drain("prune")
    assert drained == ["first"]
    go_on.set()
    first.join(10)
    assert drained == ["first", "first"]
    assert tasks._asked_again == {}
