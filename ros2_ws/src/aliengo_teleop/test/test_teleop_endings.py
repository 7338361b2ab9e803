"""How the nodes end, as real processes: a signal while they start, no device, the keyboard's keys."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

pytest.importorskip("rclpy", reason="the nodes need ROS 2")
pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")

from aliengo_description.middleware import stay_local
from aliengo_teleop.keyboard import HELP

pytestmark = pytest.mark.integration
DOMAIN = 1 + os.getpid() % 100
DEADLINE_S = 20.0
# Before a command: its process gets SIGTERM when the test run is killed, that is, when the thread
# that started it ends. Start from the main thread.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
STARTING = """
import os, signal, sys, time
from importlib import import_module
from types import SimpleNamespace
import rclpy
from rclpy.node import Node
name, number = sys.argv.pop(), int(sys.argv.pop())
make_publisher = Node.create_publisher
def interrupted(self, kind, topic, *rest, **options):
    if topic in ("joy", "cmd_vel"):
        os.kill(os.getpid(), number)
        while rclpy.ok():
            time.sleep(0.01)
        print("signalled")
    return make_publisher(self, kind, topic, *rest, **options)
Node.create_publisher = interrupted
node = import_module(f"aliengo_teleop.{name}_node")
node.open_gamepad = lambda path: (SimpleNamespace(name="pad", path="nowhere"), None)
node.main()
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["teleop", "gamepad", "keyboard"])
def test_a_signal_while_it_starts_ends_a_node_quietly(name, number):
    stay_local()
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", STARTING, str(int(number)), name],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ended"
    assert "Traceback" not in done.stderr


UNPLUGGED = """
from types import SimpleNamespace
from aliengo_teleop import gamepad, gamepad_node
def read():
    raise OSError("No such device")
device = SimpleNamespace(name="pad", path="nowhere", read=read)
gamepad_node.open_gamepad = lambda path: (device, gamepad.GamepadState({}, []))
gamepad_node.main()
"""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("-c", UNPLUGGED), "gamepad: the gamepad was unplugged: No such device"),
        (("-m", "aliengo_teleop.keyboard_node"), "keyboard_node needs a terminal on its standard"),
    ],
    ids=["unplugged", "no terminal"],
)
def test_a_node_without_its_device_ends_with_one_line_and_exit_code_1(command, words):
    stay_local()
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, *command],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", ["x", "\x03"], ids=["x", "Ctrl-C"])
def test_the_keyboard_node_ends_quietly_and_leaves_the_terminal_as_it_was(key):
    stay_local()
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    node = subprocess.Popen(
        [*ENDS_WITH_US, "setsid", "--ctty", sys.executable, "-m", "aliengo_teleop.keyboard_node"],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}, stdin=its,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + DEADLINE_S
        while termios.tcgetattr(its)[3] & termios.ICANON:  # keys typed before that wait for Enter
            assert time.monotonic() < deadline, "it does not listen to keys"
        os.write(ours, key.encode())
        said, complaints = node.communicate(timeout=DEADLINE_S)
        assert node.returncode == 0, complaints
        assert HELP in said
        assert "Traceback" not in complaints
        assert termios.tcgetattr(its) == before
    finally:
        node.kill()
        node.wait()
        os.close(ours)
        os.close(its)
