"""Parameters are declared with their ranges, and what cannot be is refused with what can."""

from __future__ import annotations

import math
import os

import pytest

from aliengo_description.parameters import Parameter, check_range, check_ranges

RATE = Parameter("rate", 50.0, "of the loop [Hz]", 10.0, 500.0)
PORT = Parameter("port", 8007, "of the robot", 1, 65535)
SCALE = Parameter("scale", 1.0, "of the stick")
BAND = Parameter("band", [20.0, 40.0], "of the force [N]", 0.0, 500.0)
BUTTONS = Parameter("buttons", [-1], "held together")
NAME = Parameter("name", "", "of the robot", read_only=False)
ALL = (RATE, PORT, SCALE, BAND, BUTTONS, NAME)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (RATE, 9.9, "parameter rate is 9.9; allowed: 10 to 500"),
        (RATE, math.nan, "parameter rate is nan; allowed: 10 to 500"),
        (PORT, 0, "parameter port is 0; allowed: 1 to 65535"),
        (SCALE, math.inf, "parameter scale is inf; allowed: a finite number"),
        (BAND, [20.0], r"parameter band is \[20\.0\]; allowed: 2 numbers from 0 to 500"),
        (BAND, [20.0, math.nan], r"is \[20\.0, nan\]; allowed: 2 numbers from 0 to 500"),
        (BAND, [20.0, 501.0], "allowed: 2 numbers from 0 to 500"),
    ],
)
def test_what_cannot_be_is_named_with_what_is_allowed(
    parameter: Parameter, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_range(parameter, value)


def test_what_can_be_is_left_alone() -> None:
    check_ranges(ALL, {parameter.name: parameter.default for parameter in ALL})
    check_range(RATE, 500.0)
    check_range(SCALE, -1e9)
    check_range(BUTTONS, [5, 12, 13])
    check_range(NAME, "anything")


@pytest.fixture
def declare():
    """Declares `ALL` on a node that was started with some values; returns the node's values."""
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")
    from rclpy.parameter import Parameter as RosParameter

    from aliengo_description.middleware import stay_local
    from aliengo_description.parameters_node import declare_parameters

    stay_local()
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    nodes = []

    def start(others=(), **given):
        overrides = [RosParameter(name, value=value) for name, value in given.items()]
        node = rclpy.create_node("declaring", context=context, parameter_overrides=overrides)
        nodes.append(node)
        return node, declare_parameters(node, ALL, others)

    yield start
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.integration
def test_values_that_are_given_take_the_place_of_the_defaults(declare) -> None:
    node, values = declare(rate=100.0, buttons=[1, 2], name="b2")
    assert (values["rate"], list(values["buttons"]), values["name"]) == (100.0, [1, 2], "b2")
    assert (values["port"], values["scale"], list(values["band"])) == (8007, 1.0, [20.0, 40.0])
    rate = node.describe_parameter("rate")
    assert (rate.description, rate.read_only) == ("of the loop [Hz]", True)
    assert rate.floating_point_range[0].to_value == 500.0
    assert node.describe_parameter("port").integer_range[0].from_value == 1
    assert not node.describe_parameter("name").read_only


@pytest.mark.integration
def test_a_parameter_that_nobody_knows_is_refused(declare) -> None:
    with pytest.raises(ValueError, match=r"unknown parameter rat; known are: rate, port, "):
        declare(rat=100.0)
    declare(others=[Parameter("device", "", "of the other node")], device="js0", use_sim_time=True)


@pytest.mark.integration
def test_a_value_out_of_range_is_refused_in_our_words(declare) -> None:
    with pytest.raises(ValueError, match="parameter rate is 1.0; allowed: 10 to 500"):
        declare(rate=1.0)
    with pytest.raises(ValueError, match="allowed: 2 numbers from 0 to 500"):
        declare(band=[1.0, 2.0, 3.0])


@pytest.mark.integration
@pytest.mark.parametrize("given", [{"band": ["a", "b"]}, {"rate": "fast"}, {"port": 80.5}])
def test_a_value_of_another_type_is_refused(declare, given) -> None:
    from rclpy.exceptions import ParameterException

    with pytest.raises(ParameterException, match=next(iter(given))):
        declare(**given)
