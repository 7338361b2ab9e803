import os
import threading

import pytest

from aliengo_description.scheduling import raise_priority


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list:
    noted = []

    def set_scheduler(thread: int, policy: int, parameters: os.sched_param) -> None:
        noted.append((thread, policy, parameters.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", set_scheduler)
    return noted


def test_every_thread_is_raised(calls: list) -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    assert raise_priority(5) == "real-time priority 5"
    end.set()
    other.join()
    assert {os.getpid(), other.native_id} <= {thread for thread, _, _ in calls}
    assert {(policy, priority) for _, policy, priority in calls} == {(os.SCHED_FIFO, 5)}


def test_or_only_the_calling_one(calls: list) -> None:
    raise_priority(7, whole_process=False)
    assert calls == [(0, os.SCHED_FIFO, 7)]


def test_no_priority_changes_nothing(calls: list) -> None:
    assert raise_priority(0) == raise_priority(-1) == "normal priority"
    assert calls == []


def test_without_permission_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert "5 is not permitted ([Errno 1] Operation not permitted)" in raise_priority(5)
