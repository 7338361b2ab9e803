"""Processes end together, in order, and say why."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from processes import ENDS_WITH_US, alive

from aliengo_policy.graph import ProcessSpec
from aliengo_policy.process_group import ProcessGroup

DEADLINE_S = 20.0

# Reports its start, and its end on SIGTERM.
PATIENT = """
    import signal, sys
    print("up", flush=True)
    def leave(*_):
        print("leaving", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    signal.pause()
"""


@dataclass(frozen=True)
class Script(ProcessSpec):
    """A process that runs a piece of Python."""

    code: str = field(default="")

    def command(self, namespace: str, log_level: str) -> list[str]:
        return [sys.executable, "-c", textwrap.dedent(self.code)]


def script(name: str, code: str, critical: bool = False, stop_rank: int = 0) -> Script:
    return Script(name, "", "", "", critical=critical, stop_rank=stop_rank, code=code)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(specs: Sequence[ProcessSpec]) -> tuple[ProcessGroup, list[str]]:
    lines: list[str] = []
    group = ProcessGroup(specs, write=lines.append)
    group.start()
    return group, lines


def test_a_dead_critical_process_ends_the_group_with_its_last_words() -> None:
    broken = script("bridge", "print('port 8082 is in use'); raise SystemExit(3)", critical=True)
    group, lines = run([script("sim", PATIENT), broken])
    ending = group.wait()
    group.stop()
    assert ending.code == 3
    assert ending.reason == "bridge ended with 3: port 8082 is in use"
    assert "bridge | port 8082 is in use" in lines


def test_a_killed_process_is_reported_as_killed() -> None:
    group, _ = run([script("policy", PATIENT, critical=True)])
    os.kill(group.pid("policy"), signal.SIGKILL)
    ending = group.wait()
    group.stop()
    assert ending.code == 1
    assert ending.reason.startswith("policy was killed by SIGKILL")


def test_the_death_of_another_process_is_only_reported() -> None:
    group, lines = run([script("odometry", "raise SystemExit(2)"), script("policy", PATIENT)])
    until(lambda: "odometry | ended with 2" in lines)
    assert group.poll() is None
    group.stop()


def test_processes_stop_in_the_order_of_their_ranks() -> None:
    group, lines = run(
        [
            script("sim", PATIENT, stop_rank=2),
            script("bridge", PATIENT, stop_rank=1),
            script("policy", PATIENT),
        ]
    )
    until(lambda: sum(line.endswith("up") for line in lines) == 3)
    group.stop()
    leaving = [line.split("|")[0].strip() for line in lines if line.endswith("leaving")]
    assert leaving == ["policy", "bridge", "sim"]


def test_the_first_reason_counts() -> None:
    group, _ = run([script("policy", PATIENT)])
    group.end("SIGINT")
    group.end("later", 9)
    assert group.wait().reason == "SIGINT"
    group.stop()


def test_an_unknown_process_is_named() -> None:
    group, _ = run([])
    with pytest.raises(KeyError, match="no process 'twin'"):
        group.pid("twin")


def test_a_group_is_started_in_the_main_thread_only() -> None:
    group = ProcessGroup([script("policy", PATIENT)])
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        refused = pool.submit(group.start).exception()
    assert isinstance(refused, RuntimeError)
    assert "thread worker_0; it must be the main thread" in str(refused)
    with pytest.raises(KeyError):
        group.pid("policy")


def test_processes_do_not_outlive_a_killed_parent() -> None:
    parent = textwrap.dedent(
        """
        import sys, time
        from aliengo_policy.graph import ProcessSpec
        from aliengo_policy.process_group import ProcessGroup
        class Sleeper(ProcessSpec):
            def command(self, namespace, log_level):
                return [sys.executable, "-c", "import time; time.sleep(600)"]
        group = ProcessGroup([Sleeper("child", "", "", "")])
        group.start()
        print(group.pid("child"), flush=True)
        time.sleep(600)
        """
    )
    command = [*ENDS_WITH_US, sys.executable, "-c", parent]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()

    until(lambda: not alive(child))
