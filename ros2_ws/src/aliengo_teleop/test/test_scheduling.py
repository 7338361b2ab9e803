"""The priority of the operator's input is raised where that is permitted, and said either way."""

import os

import pytest

from aliengo_teleop import scheduling
from aliengo_teleop.scheduling import raise_priority


def test_every_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def set_scheduler(thread: int, policy: int, parameters: os.sched_param) -> None:
        calls.append((thread, policy, parameters.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", set_scheduler)
    monkeypatch.setattr(scheduling.os, "listdir", lambda path: ["11", "12"])
    assert raise_priority(5) == "real-time priority 5"
    assert calls == [(11, os.SCHED_FIFO, 5), (12, os.SCHED_FIFO, 5)]


def test_without_permission_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert "5 not permitted" in raise_priority(5)
    assert raise_priority(0) == "scheduling is left as it is"
