"""Our nodes as real processes: a parameter that cannot be is one line and exit code 1."""

import os
import subprocess
import sys

import pytest
from processes import ENDS_WITH_US

pytest.importorskip("rclpy", reason="the nodes need ROS 2")
pytest.importorskip("unitree_legged_msgs.msg", reason="the messages are not built")

pytestmark = pytest.mark.integration
DEADLINE_S = 60.0


@pytest.mark.parametrize(
    ("module", "parameter", "words"),
    [
        ("policy_node", "max_vel:=99.0", "max_vel"),
        ("policy_node", "max_vel:=.nan", "parameter max_vel is nan; allowed: 0.05 to 5"),
        ("policy_node", "max_vel:=fast", "max_vel"),
        ("policy_node", "max_vell:=1.0", "unknown parameter max_vell; known are: "),
        ("policy_node", "policy:=absent", "absent.onnx"),
        ("policy_node", "state_timeout_s:=0.03", "control period of 0.02 s needs at least 0.04"),
        ("odometry_node", "decimation:=0", "decimation"),
        ("odometry_node", "decimation:=often", "decimation"),
        ("odometry_node", "contact_force:=[25.0]", "allowed: 2 numbers from 0 to 500"),
        ("odometry_node", "contact_force:=[60.0,25.0]", "needed: 0 <= low < high"),
        ("odometry_node", "rate:=1", "unknown parameter rate; known are: decimation, "),
        ("description_node", "decimation:=0", "decimation"),
        ("description_node", "prefix:=a", "unknown parameter prefix; known are: "),
        ("bags.recorder_node", "min_free_mb:=-1", "min_free_mb"),
        ("bags.recorder_node", "outptu:=a", "unknown parameter outptu; known are: "),
        ("bags.recorder_node", "output:=/proc/run", "/proc/run"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_exit_code_1(tmp_path, module, parameter, words):
    command = [*ENDS_WITH_US, sys.executable, "-m", f"aliengo_policy.{module}"]
    done = subprocess.run(
        [*command, "--ros-args", "-p", parameter],
        env=dict(os.environ), cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    name = module.rpartition(".")[2].removesuffix("_node")
    said = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    assert len(said) == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
