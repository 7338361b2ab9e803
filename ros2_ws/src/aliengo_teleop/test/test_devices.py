"""Keyboard and gamepad readers, and the shipped profiles."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from aliengo_teleop.gamepad import AxisRange, GamepadError, GamepadState, follow, open_gamepad
from aliengo_teleop.keyboard import AXES, BUTTONS, ESTOP_HOLD_S, KeyboardPad
from aliengo_teleop.parameters import PARAMETERS, make_config

PROFILES = sorted((Path(__file__).parents[4] / "config" / "teleop").glob("*.yaml"))


def pressed(pad: KeyboardPad, now: float) -> set[str]:
    return {name for name, value in zip(BUTTONS, pad.read(now)[1], strict=True) if value}


def test_a_held_key_drives_and_a_released_one_stops():
    pad = KeyboardPad()
    pad.press("w", 0.0)
    assert pressed(pad, 0.5) == {"enable"}
    for i in range(10):
        pad.press("w", 0.5 + 0.03 * i)
    assert pad.read(0.8)[0] == [1.0, 0.0, 0.0]
    assert pressed(pad, 0.9 + 0.03) == set()


def test_opposite_keys_cancel_and_capitals_are_turbo():
    pad = KeyboardPad()
    pad.press("A", 0.0)
    pad.press("D", 0.0)
    axes, _ = pad.read(0.1)
    assert axes[AXES.index("vy")] == 0.0
    assert pressed(pad, 0.1) == {"turbo"}


@pytest.mark.parametrize("key", ["\n", "z", "\x1b"])
def test_an_unknown_key_lets_go(key):
    pad = KeyboardPad()
    pad.press("w", 0.0)
    pad.press(key, 0.1)
    assert pressed(pad, 0.1) == set()


def test_space_is_the_estop_and_is_in_many_messages():
    pad = KeyboardPad()
    pad.press("w", 0.0)
    pad.press(" ", 0.1)
    pad.press("w", 0.12)
    for tick in range(14):
        now = 0.12 + 0.02 * tick
        assert pad.read(now)[0] == [0.0, 0.0, 0.0]
        assert pressed(pad, now) == {"estop"}
    assert pressed(pad, 0.1 + ESTOP_HOLD_S) == set()


def test_a_mode_is_requested_once():
    pad = KeyboardPad()
    pad.press("3", 0.0)
    assert pressed(pad, 0.0) == {"walk"}
    assert pressed(pad, 0.02) == set()


@pytest.mark.parametrize(
    "sequence", ["\x1b[A", "\x1b[3~", "\x1b[15~", "\x1bOP", "\x1b[[A", "\x1bw"]
)
@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_an_arrow_or_function_key_is_one_unknown_key(sequence, delay):
    pad = KeyboardPad()
    pad.press("w", 0.0)
    for i, character in enumerate(sequence):
        pad.press(character, 0.1 + (delay if i else 0.0))
    assert pressed(pad, 0.13) == set()
    pad.press("w", 0.3)
    assert pressed(pad, 0.3) == {"enable"}


def test_the_estop_is_heard_among_the_characters_of_an_arrow_key():
    pad = KeyboardPad()
    for character in "\x1b[A ":
        pad.press(character, 0.0)
    assert pressed(pad, 0.0) == {"estop"}


def test_gamepad_events_become_joy_in_the_order_of_event_codes():
    stick, hat = AxisRange(-32768, 32767), AxisRange(-1, 1)
    state = GamepadState({0x11: hat, 0x00: stick, 0x01: stick}, [0x131, 0x130, 0x1E])
    state.apply(0x03, 0x01, -32768)
    state.apply(0x03, 0x11, 1)
    state.apply(0x01, 0x131, 1)
    state.apply(0x01, 0x1E, 1)
    axes, buttons = state.read()
    assert axes == pytest.approx([0.0, 1.0, -1.0], abs=1e-4)
    assert buttons == [0, 1]


class Pad:
    """What evdev shows of a gamepad: events in portions, none waiting, and the present state."""

    def __init__(self, *portions):
        self._portions = list(portions)

    def read(self):
        if not self._portions:
            raise BlockingIOError
        for event in self._portions.pop(0):
            yield SimpleNamespace(type=event[0], code=event[1], value=event[2])

    def active_keys(self):
        return [0x131]

    def absinfo(self, code):
        return SimpleNamespace(value={0x00: 0, 0x01: 32767}[code])


def stick_and_buttons():
    stick = AxisRange(-32767, 32767)
    return GamepadState({0x00: stick, 0x01: stick}, [0x130, 0x131])


def test_all_waiting_events_are_read():
    state = stick_and_buttons()
    moves = [(0x03, 0x00, value) for value in range(64)]
    follow(Pad(moves, [(0x01, 0x130, 1)], [(0x03, 0x01, -32767)]), state)
    assert state.read() == ([pytest.approx(-63 / 32767), 1.0], [1, 0])


def test_after_an_overflow_the_gamepad_itself_is_asked():
    state = stick_and_buttons()
    follow(Pad([(0x01, 0x130, 1), (0x03, 0x00, -32767)]), state)  # the dead man held, a stick moved
    assert state.read() == ([1.0, 0.0], [1, 0])
    follow(Pad([(0x00, 0x03, 0), (0x03, 0x01, 5)]), state)  # the release was dropped
    assert state.read() == ([0.0, -1.0], [0, 1])


def test_a_missing_gamepad_is_named(tmp_path):
    pytest.importorskip("evdev")
    with pytest.raises(GamepadError, match="event99"):
        open_gamepad(str(tmp_path / "event99"))


def test_profiles_are_shipped():
    names = {path.stem for path in PROFILES}
    assert {"ps4", "ps5", "xbox", "logitech_f710", "unitree", "keyboard"} <= names


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_names_only_parameters_that_exist_and_has_an_estop(path):
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    defaults = {p.name: p.default for p in PARAMETERS}
    assert set(values) <= set(defaults)
    for name, value in values.items():
        assert type(value) is type(defaults[name]), name
    config = make_config(defaults | values)
    source = "remote" if path.stem == "unitree" else "joystick"
    assert config.mappings[source].chords["estop"]
    assert config.mappings[source].require_enable_button


def test_the_remote_drives_beside_every_profile_as_its_own_profile_says():
    path = next(path for path in PROFILES if path.stem == "unitree")
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    defaults = {p.name: p.default for p in PARAMETERS if p.name in values}
    assert values == defaults
