"""Processes end together, in order, and say why."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes import ENDS_WITH_US, alive

from aliengo_policy.graph import ProcessSpec
from aliengo_policy.process_group import LineWriter, ProcessGroup

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


def script(
    name: str, code: str, critical: bool = False, stop_rank: int = 0, grace: float = 20.0
) -> Script:
    return Script(
        name, "", "", "", critical=critical, stop_rank=stop_rank, stop_grace_s=grace, code=code
    )


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


def test_a_log_that_nobody_reads_any_more_does_not_end_the_supervision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    # More than a pipe holds: a process whose output is not taken would not get to its end.
    talkative = script("policy", "print('x' * 200_000); raise SystemExit(3)", critical=True)
    group = ProcessGroup([talkative])
    group.start()
    until(lambda: group.poll() is not None)
    group.stop()
    assert group.wait().code == 3


def test_a_log_that_is_not_read_holds_up_neither_the_supervision_nor_its_end() -> None:
    released, written = threading.Event(), []

    def stuck(text: str) -> None:
        released.wait(DEADLINE_S)
        written.append(text)

    writer = LineWriter(stuck, most=5)
    talkative = script("policy", "print('x\\n' * 1000); raise SystemExit(3)", critical=True)
    group = ProcessGroup([talkative], write=writer.say)
    group.start()
    until(lambda: group.poll() is not None)
    group.stop()
    assert not writer.flush(0.05)
    released.set()
    assert writer.flush(DEADLINE_S)
    writer.say("and again")
    assert writer.flush(DEADLINE_S)
    assert "lines were dropped" in written[-2]
    assert written[-1] == "and again\n"
    dropped = int(written[-2].split()[0].lstrip("("))
    assert len(written) - 2 + dropped == 1001  # with the empty line that print() adds


def test_a_terminal_that_is_not_read_does_not_keep_a_group_from_its_end(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    chat = f"""
        import pathlib
        for number in range(10**9):
            print("a line as long as those of a node that tells what it does", number)
            if number % 1000 == 0:
                pathlib.Path({str(progress)!r}).write_text(str(number))
    """
    supervision = f"""
        import signal
        from test_process_group import script
        from aliengo_policy.process_group import ProcessGroup, say
        group = ProcessGroup([script("policy", {textwrap.dedent(chat)!r})])
        signal.signal(signal.SIGTERM, lambda *_: group.end("SIGTERM"))
        group.start()
        say("shutting down: " + group.wait().reason)
        group.stop()
    """
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-c", textwrap.dedent(supervision)],
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        # Far more than a terminal and a pipe hold together.
        until(lambda: progress.is_file() and int(progress.read_text() or 0) >= 20_000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


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
    assert [group.poll().reason for _ in range(3)] == ["SIGINT"] * 3
    assert group.wait().reason == "SIGINT"
    assert group.poll().reason == "SIGINT"
    group.stop()


def test_a_signal_may_end_the_group_while_it_is_being_ended() -> None:
    hammered = """
        import signal
        from aliengo_policy.process_group import ProcessGroup
        group = ProcessGroup([])
        signal.signal(signal.SIGALRM, lambda *_: group.end("signal"))
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        for _ in range(100_000):
            group.end("main")
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        print(group.wait().reason)
    """
    command = [*ENDS_WITH_US, sys.executable, "-c", textwrap.dedent(hammered)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60.0, check=True)
    assert done.stdout.split()[0] in (b"main", b"signal")


def test_a_process_is_killed_after_its_own_grace() -> None:
    stubborn = """
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
        print("up", flush=True)
        time.sleep(600)
    """
    specs = [script("odometry", stubborn, grace=0.1), script("policy", stubborn, grace=0.2)]
    group, lines = run(specs)
    until(lambda: sum(line.endswith("up") for line in lines) == 2)
    group.stop()
    assert "odometry | did not end within 0.1 s, killed" in lines
    assert "  policy | did not end within 0.2 s, killed" in lines


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
