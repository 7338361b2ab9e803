"""Axes and buttons become the velocities and requests that the profile names."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliengo_teleop.mapping import JoyMapper, JoyMapping, Velocity, apply_dead_zone


def mapping(**changes) -> JoyMapping:
    values = {
        "axes": (1, 0, 2),
        "scales": (1.0, 0.5, -2.0),
        "turbo_scales": (3.0, 1.0, -4.0),
        "enable_button": 0,
        "enable_turbo_button": 1,
        "deadzone": 0.2,
        "chords": {"walk": (2,), "estop": (2, 3)},
    }
    return JoyMapping(**(values | changes))


def test_the_dead_man_gates_the_command():
    mapper = JoyMapper(mapping())
    assert mapper.read([1.0, 1.0, 1.0], [0, 0]).velocity == Velocity()
    reading = mapper.read([-1.0, 1.0, 1.0], [1, 0])
    assert reading.enabled
    assert reading.velocity == Velocity(1.0, -0.5, -2.0)


def test_turbo_is_a_dead_man_with_its_own_scales():
    reading = JoyMapper(mapping()).read([1.0, 1.0, 1.0], [0, 1])
    assert reading.enabled
    assert reading.velocity == Velocity(3.0, 1.0, -4.0)


def test_short_messages_read_as_released():
    assert not JoyMapper(mapping()).read([], []).enabled


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(0.0, 0.9))
def test_dead_zone_is_odd_bounded_and_monotone_at_its_edges(value, deadzone):
    result = apply_dead_zone(value, deadzone)
    assert abs(result) <= 1.0
    assert result == -apply_dead_zone(-value, deadzone)
    if math.isnan(value) or abs(value) <= deadzone:
        assert result == 0.0
    elif abs(value) >= 1.0:
        assert result == pytest.approx(math.copysign(1.0, value))


def test_dead_zone_has_no_jump_at_its_edge():
    assert apply_dead_zone(0.2 + 1e-9, 0.2) == pytest.approx(0.0, abs=1e-6)


def test_a_request_fires_once_per_press():
    mapper = JoyMapper(mapping())
    sequence = [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    fired = [mapper.read([], buttons).requests for buttons in sequence]
    assert fired == [(), ("walk",), (), (), ("walk",)]


def test_the_larger_chord_silences_the_smaller():
    mapper = JoyMapper(mapping())
    mapper.read([], [0, 0, 0, 0])
    assert mapper.read([], [0, 0, 1, 1]).requests == ("estop",)


def test_no_larger_chord_silences_the_estop():
    mapper = JoyMapper(mapping(chords={"estop": (3,), "damping": (2, 3)}))
    mapper.read([], [0, 0, 1, 0])
    assert set(mapper.read([], [0, 0, 1, 1]).requests) == {"estop", "damping"}


def test_of_what_is_held_at_the_first_message_only_the_estop_fires():
    assert JoyMapper(mapping()).read([], [0, 0, 1, 0]).requests == ()
    mapper = JoyMapper(mapping())
    assert mapper.read([], [0, 0, 1, 1]).requests == ("estop",)
    assert mapper.read([], [0, 0, 1, 1]).requests == ()
    mapper.reset()
    assert mapper.read([], [0, 0, 1, 1]).requests == ("estop",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deadzone": 1.0}, "deadzone is 1.0"),
        ({"enable_button": -1}, "enable_button is -1"),
        ({"chords": {"dance": (1,)}}, "dance"),
        ({"chords": {"walk": (-2,)}}, "buttons.walk"),
    ],
)
def test_impossible_mappings_are_refused_by_name(change, words):
    with pytest.raises(ValueError, match=words):
        mapping(**change)
