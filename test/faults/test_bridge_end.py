"""How the bridge ends, and what a bad host may do to it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from robot_graph import RobotGraph
from truth import wait_for

pytestmark = pytest.mark.integration

TWIN_TIMEOUT_S = 0.2
OBSERVATION_S = 0.15


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_robot_is_damped_when_the_ros_node_dies_or_hangs(
    graph: RobotGraph, number: signal.Signals
) -> None:
    start = graph.send_signal("bridge", number)
    graph.wait_until_lying()
    # A dead node is noticed at once, a node that hangs by its silence.
    assert graph.passive_since(start) < 0.12 + OBSERVATION_S
    assert any((t.torques != 0).all() for t in graph.truths if t.time_s > start + 0.3)


def test_when_all_of_the_bridge_is_killed_the_robot_goes_limp(graph: RobotGraph) -> None:
    start = graph.kill_group("bridge")
    wait_for(lambda: graph.truth.lying and (graph.truth.torques == 0).all(), "limp robot")
    assert graph.passive_since(start) < TWIN_TIMEOUT_S + OBSERVATION_S


def test_a_bridge_that_is_asked_to_end_damps_until_the_robot_is_down(graph: RobotGraph) -> None:
    start = graph.send_signal("bridge", signal.SIGTERM)
    assert graph.wait_for_end("bridge") == 0
    damped = [t for t in graph.truths if t.time_s > start + OBSERVATION_S]
    # The node hears a signal at its next timer, then asks the control process.
    assert graph.passive_since(start) < 0.12 + OBSERVATION_S
    assert np.mean([truth.passive for truth in damped]) > 0.8
    assert any((truth.torques != 0).all() for truth in damped)  # damping, not just limp
    assert graph.truth.height_m < 0.25
    assert graph.bridge.fault == "shutdown"
    assert not list(
        graph.records.glob("*_shutdown.npz")
    )  # an end that was asked for needs no record


def test_a_bridge_that_comes_back_does_not_lift_the_robot(graph: RobotGraph) -> None:
    graph.kill_group("bridge")
    graph.wait_for_end("bridge")
    graph.states.clear()
    graph.start_bridge()
    graph.wait_for_bridge("idle")
    wait_for(lambda: graph.truth.lying, "robot lying")
    assert graph.bridge.state == "idle"


def control_process(graph: RobotGraph) -> int:
    """Return the process id of the bridge's control process."""
    bridge = graph.processes["bridge"].pid
    return int(Path(f"/proc/{bridge}/task/{bridge}/children").read_text().split()[0])


def test_a_frozen_control_process_is_told_and_its_stop_is_not_believed(graph: RobotGraph) -> None:
    control = control_process(graph)
    os.kill(control, signal.SIGSTOP)
    graph.wait_for_fault("internal_error", deadline_s=5.0)
    assert graph.bridge.state == "waiting"
    assert "silent" in graph.bridge.fault_detail
    answer = graph.trigger("bridge/estop")
    assert not answer.success
    assert "did not answer" in answer.message
    wait_for(
        lambda: "silent" in graph.diagnostics["bridge: loop"]["message"],
        "diagnostics",
    )
    os.kill(control, signal.SIGCONT)
    graph.wait_for_bridge("damping")
    graph.wait_until_lying()


def test_the_death_of_the_control_process_ends_the_node_with_the_reason(graph: RobotGraph) -> None:
    os.kill(control_process(graph), signal.SIGKILL)
    assert graph.wait_for_end("bridge") == 1
    assert "the control process is gone" in graph.log("bridge")
    wait_for(lambda: graph.truth.lying, "robot lying")


def test_a_full_disk_costs_the_record_not_the_robot(
    make_graph: Callable[..., RobotGraph], standing_policy: Path
) -> None:
    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    graph = make_graph(policy=standing_policy, bridge_setup=no_space)
    graph.stand_up()
    start = graph.send_signal("policy", signal.SIGKILL)
    graph.wait_for_fault("command_stale", deadline_s=5.0)
    graph.wait_until_lying()
    assert graph.passive_since(start) < 0.12 + OBSERVATION_S
    wait_for(
        lambda: "cannot write" in graph.diagnostics["bridge: safety"]["record_error"],
        "the complaint",
    )
    assert list(graph.records.glob("*")) == []
    assert graph.processes["bridge"].poll() is None


JUMPING_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* While the file named by JUMP_FILE exists, the wall clock is an hour ahead. */
static long offset(void) {
    const char *path = getenv("JUMP_FILE");
    return path && access(path, F_OK) == 0 ? 3600 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

/* The kernel's clock did not jump: a deadline taken from ours must be told in the kernel's time. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *deadline) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec shifted = *deadline;
    if (shifted.tv_sec > 1000000000L) shifted.tv_sec -= offset(); /* not a monotonic one */
    return real(condition, mutex, &shifted);
}
"""


@pytest.fixture
def jumping_clock(tmp_path: Path) -> dict[str, str]:
    """The environment in which a process's wall clock jumps when a file appears."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(JUMPING_CLOCK)
    line = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(line, check=True)
    return {"LD_PRELOAD": str(library), "JUMP_FILE": str(tmp_path / "jump")}


def test_a_clock_that_jumps_moves_nothing(
    make_graph: Callable[..., RobotGraph], standing_policy: Path, jumping_clock: dict[str, str]
) -> None:
    graph = make_graph(policy=standing_policy, environment=jumping_clock)
    graph.stand_up()
    before = graph.bridge.stamp_ns
    jump = Path(jumping_clock["JUMP_FILE"])
    for change in (jump.touch, jump.unlink):
        change()
        start = graph.truth.time_s
        wait_for(lambda start=start: graph.truth.time_s > start + 1.5, "time after the jump")
        if change == jump.touch:
            wait_for(lambda: graph.bridge.stamp_ns - before > 3500e9, "a stamp after the jump")
        assert graph.bridge.state == "active", graph.bridge.fault_detail
        assert graph.truth.standing
    assert np.isfinite(graph.bridge.state_age_s)


def test_a_port_in_use_is_said_in_one_line(make_graph: Callable[..., RobotGraph]) -> None:
    graph = make_graph()
    graph.wait_for_bridge("idle")
    first = graph.processes["bridge"]
    graph.start_bridge()
    assert graph.wait_for_end("bridge") == 1
    assert f"UDP port {graph.bridge_port} is in use" in graph.log("bridge")
    assert "Traceback" not in graph.log("bridge")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"robot_adress": "1.2.3.4"}, "unknown parameter robot_adress"),
        ({"robot_address": "robot"}, "robot address 'robot' is not an IPv4 address"),
        ({"link": "can"}, "unknown link 'can', there are udp, sdk, lcm"),
        ({"limits.tilt_rad": 3.0}, "tilt_rad"),
    ],
)
def test_bad_parameters_are_said_in_one_line(
    make_graph: Callable[..., RobotGraph], parameters: dict[str, object], message: str
) -> None:
    graph = make_graph(bridge=parameters)
    assert graph.wait_for_end("bridge") == 1
    assert message in graph.log("bridge")
    assert "Traceback" not in graph.log("bridge")


def test_limits_are_tightened_but_not_loosened_at_run_time(
    make_graph: Callable[..., RobotGraph],
) -> None:
    graph = make_graph()
    graph.wait_for_bridge("idle")
    assert graph.set_parameters("bridge", limits__tilt_rad=0.8)[0].successful
    looser = graph.set_parameters("bridge", limits__tilt_rad=0.9)[0]
    assert not looser.successful
    assert "may only be made lower" in looser.reason
    fixed = graph.set_parameters("bridge", limits__damping_kd=1.0)[0]
    assert not fixed.successful
