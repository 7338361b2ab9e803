"""The offset table agrees with the serialiser of the installed ROS 2."""

import numpy as np
import pytest

from aliengo_policy.cdr import CdrLayout, LayoutError

pytest.importorskip("rclpy")
from geometry_msgs.msg import Twist
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from unitree_legged_msgs.msg import LowState


def random_state(seed: int) -> LowState:
    """A message in which every number differs."""
    rng = np.random.default_rng(seed)
    message = LowState()
    message.level_flag, message.comm_version, message.band_width = 0xFF, 513, 7
    message.sn, message.tick, message.crc = 0x01020304, int(rng.integers(2**32)), 99
    message.imu.quaternion = rng.normal(size=4).astype(np.float32)
    message.imu.gyroscope = rng.normal(size=3).astype(np.float32)
    message.imu.rpy = rng.normal(size=3).astype(np.float32)
    message.imu.temperature = -5
    for motor in message.motor_state:
        motor.mode, motor.temperature = int(rng.integers(256)), int(rng.integers(-100, 100))
        motor.q, motor.dq, motor.ddq, motor.tau_est = rng.normal(size=4).tolist()
        motor.q_raw, motor.dq_raw, motor.ddq_raw = rng.normal(size=3).tolist()
    message.foot_force = rng.integers(-1000, 1000, 4).astype(np.int16)
    return message


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_those_of_the_message(seed: int) -> None:
    message = random_state(seed)
    data = serialize_message(message)
    layout = CdrLayout(LowState)
    motors = message.motor_state
    for name in ("q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw"):
        expected = np.array([getattr(motor, name) for motor in motors], dtype=np.float32)
        np.testing.assert_array_equal(
            layout.reader([(f"motor_state.{name}", 20)]).read(data), expected
        )
    for name in ("mode", "temperature"):
        expected = [getattr(motor, name) for motor in motors]
        np.testing.assert_array_equal(
            layout.reader([(f"motor_state.{name}", 20)]).read(data), expected
        )
    for name, size in (("quaternion", 4), ("gyroscope", 3), ("rpy", 3)):
        found = layout.reader([(f"imu.{name}", size)]).read(data)
        np.testing.assert_array_equal(found, getattr(message.imu, name))
    np.testing.assert_array_equal(layout.reader([("foot_force", 4)]).read(data), message.foot_force)
    assert layout.reader([("tick", 1)]).read(data)[0] == message.tick
    assert layout.reader([("imu.temperature", 1)]).read(data)[0] == -5


def test_one_reader_joins_several_fields_in_the_order_given() -> None:
    message = random_state(1)
    reader = CdrLayout(LowState).reader([("motor_state.dq", 2), ("imu.gyroscope", 3)])
    expected = [message.motor_state[0].dq, message.motor_state[1].dq, *message.imu.gyroscope]
    np.testing.assert_array_equal(reader.read(serialize_message(message)), np.float32(expected))


def test_eight_byte_numbers_are_aligned() -> None:
    message = Twist()
    message.linear.y, message.angular.z = 1.5, -2.5
    layout = CdrLayout(Twist)
    data = serialize_message(message)
    np.testing.assert_array_equal(
        layout.reader([("linear.y", 1), ("angular.z", 1)]).read(data), [1.5, -2.5]
    )


def test_other_data_is_refused() -> None:
    reader = CdrLayout(LowState).reader([("tick", 1)])
    data = serialize_message(random_state(0))
    with pytest.raises(LayoutError, match=f"expected {len(data)} bytes, found {len(data) - 4}"):
        reader.read(data[:-4])
    with pytest.raises(LayoutError, match="found header 00000000"):
        reader.read(b"\0\0\0\0" + data[4:])


def test_layouts_that_vary_are_refused() -> None:
    with pytest.raises(LayoutError, match="field data has the type string, whose size varies"):
        CdrLayout(String)
    layout = CdrLayout(LowState)
    with pytest.raises(LayoutError, match=r"no field 'imu\.yaw'; it has"):
        layout.reader([("imu.yaw", 1)])
    with pytest.raises(LayoutError, match="has 4 values, not 5"):
        layout.reader([("foot_force", 5)])
    with pytest.raises(LayoutError, match="one type"):
        layout.reader([("foot_force", 1), ("tick", 1)])
