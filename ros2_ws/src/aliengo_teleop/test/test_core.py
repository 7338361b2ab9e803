"""Time-outs, dead man, precedence and requests of the whole teleoperation, on a fake clock."""

import pytest

from aliengo_teleop.arbitration import PRIORITY, Arbiter
from aliengo_teleop.core import Teleop
from aliengo_teleop.mapping import Velocity
from aliengo_teleop.parameters import PARAMETERS, make_config

ZERO = pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
PERIOD = 0.02


class Operator:
    """Drives a `Teleop` with a clock that only the test moves."""

    def __init__(self, **changes):
        self.teleop = Teleop(make_config({p.name: p.default for p in PARAMETERS} | changes))
        self.now = 100.0
        self.output = self.teleop.tick(self.now)
        self.modes: list[str] = []

    def joy(self, vx=0.0, buttons=(), source="joystick"):
        pressed = [int(i in buttons) for i in range(16)]
        axes = [0.0, vx, 0.0, 0.0, 0.0]
        self.teleop.on_joy(source, axes, pressed, self.now)

    def run(self, seconds, **joy):
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            if joy:
                self.joy(**joy)
            self.output = self.teleop.tick(self.now)
            self.modes += self.output.modes
        return self.output


@pytest.fixture
def driving():
    operator = Operator()
    operator.run(0.1, vx=0.0)
    operator.run(1.0, vx=1.0, buttons=(4,))
    assert operator.output.velocity == pytest.approx((1.0, 0.0, 0.0))
    assert operator.output.source == "joystick"
    return operator


def test_releasing_the_dead_man_stops_within_the_stop_time(driving):
    assert driving.run(0.22, vx=1.0).velocity == ZERO
    assert driving.output.source == "none"


def test_a_silent_joystick_stops_at_once_when_its_time_out_has_passed(driving):
    assert driving.run(0.2).velocity == pytest.approx((1.0, 0.0, 0.0))
    assert driving.run(0.02).velocity == ZERO


def test_a_lost_joystick_ends_in_stand_once(driving):
    driving.run(5.0)
    assert driving.modes == ["stand"]


def test_a_released_joystick_may_go_away_without_a_mode_change(driving):
    driving.run(0.3, vx=0.0)
    driving.run(5.0)
    assert driving.modes == []


def test_a_joystick_that_returns_must_release_its_dead_man_first(driving):
    driving.run(0.5)
    assert driving.run(0.5, vx=1.0, buttons=(4,)).source == "none"
    driving.run(0.1, vx=1.0)
    assert driving.run(0.1, vx=1.0, buttons=(4,)).source == "joystick"


def test_a_moved_stick_is_passed_on_at_once_but_not_without_bound(driving):
    def moves(vx, buttons=(4,)):
        pressed = [int(i in buttons) for i in range(16)]
        return driving.teleop.on_joy("joystick", [0.0, vx], pressed, driving.now)

    assert not moves(1.0)  # nothing has changed
    assert moves(0.5)
    driving.now += 0.25 * PERIOD
    assert not moves(0.6)  # a shaky stick must not flood cmd_vel
    driving.now += PERIOD
    assert not moves(0.6)  # has been in the regular stream since
    assert moves(0.6, buttons=())  # the dead man is a movement


def test_a_chord_is_never_held_back(driving):
    def presses(vx, *buttons):
        pressed = [int(i in buttons) for i in range(16)]
        return driving.teleop.on_joy("remote", [0.0, vx], pressed, driving.now)

    assert not presses(0.0)
    assert presses(0.5, 1)
    assert presses(0.5, 1, 5, 9)
    assert driving.teleop.tick(driving.now).estop


def test_silence_follows_idleness(driving):
    driving.run(0.3, vx=0.0)
    assert driving.output.velocity is not None
    assert driving.run(0.5, vx=0.0).velocity is None


def test_the_remote_outranks_the_joystick(driving):
    driving.joy(source="remote")
    driving.now += PERIOD
    driving.joy(vx=-1.0, buttons=(1,), source="remote")
    driving.joy(vx=1.0, buttons=(4,))
    assert driving.teleop.tick(driving.now).source == "remote"


def test_navigation_drives_only_while_nobody_else_does():
    operator = Operator()
    for _ in range(50):
        operator.teleop.on_velocity("navigation", Velocity(0.5, 0.0, 0.0), operator.now)
        operator.run(PERIOD)
    assert operator.output.source == "navigation"
    operator.run(PERIOD, vx=0.0)
    operator.run(PERIOD, vx=-1.0, buttons=(4,))
    assert operator.output.source == "joystick"


def test_navigation_that_falls_silent_stops_without_a_mode_request():
    operator = Operator()
    for _ in range(50):
        operator.teleop.on_velocity("navigation", Velocity(0.5, 0.0, 0.0), operator.now)
        operator.run(PERIOD)
    assert operator.run(0.28).velocity == ZERO
    operator.run(3.0)
    assert operator.modes == []


def test_an_estop_button_latches_until_the_bridge_is_reset():
    operator = Operator(**{"buttons.estop": [1, 6], "buttons.reset": [6, 7]})
    teleop, faulty = operator.teleop, False

    def run(seconds, **joy):
        # The bridge latches a fault at the e-stop, resets it when asked, and tells all the time.
        nonlocal faulty
        seen = []
        for _ in range(round(seconds / PERIOD)):
            seen.append(operator.run(PERIOD, **joy))
            if seen[-1].estop:
                faulty = True
                teleop.on_estop(True, operator.now)  # its own message comes back to it
            elif seen[-1].reset:
                faulty = False
            teleop.on_bridge(faulty, faulty, operator.now)
        return seen

    run(0.1, vx=0.0)
    pressed = run(0.1, buttons=(1, 6))
    assert [output.estop for output in pressed] == [True, False, False, False, False]
    assert pressed[0].modes == ("damping",)
    teleop.on_estop(False, operator.now)
    assert {output.source for output in run(3.0, vx=1.0, buttons=(4,))} == {"estop"}
    teleop.on_estop(False, operator.now)
    assert run(0.1, vx=0.0)[-1].source == "estop"
    assert [output.reset for output in run(0.1, buttons=(6, 7))].count(True) == 1
    assert run(0.1, vx=0.0)[-1].source == "none"
    assert run(0.1, vx=1.0, buttons=(4,))[-1].source == "joystick"


def test_a_bridge_state_from_before_the_estop_does_not_end_it():
    operator = Operator()
    operator.teleop.on_estop(True, operator.now)
    operator.teleop.on_bridge(True, True, operator.now)
    operator.teleop.on_bridge(False, False, operator.now + 0.1)
    assert operator.run(0.2).source == "estop"


def test_a_bridge_that_has_not_heard_of_an_estop_does_not_end_it_but_is_told_again():
    operator = Operator(**{"buttons.estop": [1, 6]})
    operator.run(0.1, vx=0.0)
    sent = []
    for _ in range(50):
        operator.run(PERIOD, buttons=(1, 6))
        sent.append(operator.output.estop)
        operator.teleop.on_bridge(False, False, operator.now)
    assert operator.output.source == "estop"
    assert sent[0]
    assert sent.count(True) in (9, 10)  # every 0.1 s
    operator.teleop.on_bridge(True, False, operator.now)  # another fault is no answer
    assert operator.run(0.1, buttons=(1, 6)).source == "estop"
    operator.teleop.on_bridge(True, True, operator.now)
    for _ in range(50):
        assert not operator.run(PERIOD, buttons=(1, 6)).estop
    operator.teleop.on_bridge(False, False, operator.now)
    assert operator.run(PERIOD, vx=0.0).source == "none"


def test_a_bridge_that_was_started_anew_is_told_of_the_estop_again():
    operator = Operator()
    operator.teleop.on_bridge(False, False, operator.now, received=5000)
    operator.teleop.on_estop(True, operator.now)
    operator.teleop.on_bridge(True, True, operator.now, received=5100)
    assert not operator.run(1.0).estop
    sent = []
    for received in range(300, 350):  # whatever it is doing by then
        operator.teleop.on_bridge(False, False, operator.now, received=received)
        sent.append(operator.run(PERIOD).estop)
    assert operator.output.source == "estop"
    assert sent.count(True) in (8, 9, 10)
    operator.teleop.on_bridge(True, True, operator.now, received=360)
    assert not operator.run(0.5).estop
    operator.teleop.on_bridge(False, False, operator.now, received=400)
    assert operator.run(PERIOD).source == "none"


def test_a_bridge_that_was_started_anew_without_an_estop_is_told_of_none():
    operator = Operator()
    operator.teleop.on_bridge(False, False, operator.now, received=5000)
    operator.teleop.on_bridge(False, False, operator.now, received=3)
    assert not operator.run(0.5).estop
    assert operator.output.source == "none"


def test_an_estop_of_somebody_else_is_published_again_until_the_bridge_has_it(driving):
    driving.teleop.on_estop(True, driving.now)
    sent = []
    for _ in range(50):
        sent.append(driving.run(PERIOD).estop)
        driving.teleop.on_bridge(False, False, driving.now)
    assert sent.count(True) in (8, 9)  # every 0.1 s
    driving.teleop.on_bridge(True, True, driving.now)
    for _ in range(50):
        assert not driving.run(PERIOD).estop


def test_an_estop_chord_that_arrives_after_a_gap_stops():
    operator = Operator(**{"buttons.estop": [1, 6]})
    operator.run(0.1, vx=0.0)
    operator.run(1.0)
    assert operator.run(PERIOD, buttons=(1, 6)).estop


def test_a_dead_man_held_through_the_estop_must_be_released():
    operator = Operator()
    operator.run(0.1, vx=0.0)
    operator.run(0.1, vx=1.0, buttons=(4,))
    operator.teleop.on_estop(True, operator.now)
    operator.teleop.on_bridge(True, True, operator.now)
    operator.run(1.0, vx=1.0, buttons=(4,))
    operator.teleop.on_bridge(False, False, operator.now)
    assert operator.run(0.1, vx=1.0, buttons=(4,)).source == "none"
    operator.run(0.1, vx=0.0)
    assert operator.run(0.1, vx=1.0, buttons=(4,)).source == "joystick"


def test_an_estop_of_somebody_else_is_followed(driving):
    driving.teleop.on_estop(True, driving.now)
    output = driving.run(0.1, vx=1.0, buttons=(4,))
    assert output.source == "estop"
    assert output.velocity == Velocity()


def test_the_arbiter_wants_a_time_out_for_every_source():
    with pytest.raises(ValueError, match="navigation"):
        Arbiter(dict.fromkeys(PRIORITY[:-1], 0.2))
    with pytest.raises(ValueError, match="'web'"):
        Arbiter(dict.fromkeys(PRIORITY, 0.2) | {"web": 0.0})
    with pytest.raises(ValueError, match="mind"):
        Arbiter(dict.fromkeys(PRIORITY, 0.2)).update("mind", Velocity(), True, 0.0)


def test_a_bad_parameter_is_named_with_its_prefix():
    with pytest.raises(ValueError, match=r"remote\.deadzone is 2"):
        Operator(**{"remote.deadzone": 2.0})


def test_a_stall_of_this_process_is_not_blamed_on_the_joystick(driving):
    driving.now += 0.25
    assert driving.run(0.02, vx=1.0, buttons=(4,)).source == "joystick"
    assert driving.output.velocity == pytest.approx((1.0, 0.0, 0.0))


def test_a_long_stall_counts_in_full(driving):
    driving.now += 1.0
    assert driving.run(0.1, vx=1.0, buttons=(4,)).source == "none"


def test_a_stall_does_not_keep_a_dead_joystick_alive(driving):
    driving.now += 0.25
    assert driving.run(0.24).velocity == ZERO


@pytest.mark.parametrize("gap", [0.07, 0.1, 0.3])
def test_stalls_in_a_row_keep_nobody_alive_for_longer_than_one_credit(driving, gap):
    silent = driving.now
    while driving.output.velocity != Velocity():
        driving.now += gap
        driving.output = driving.teleop.tick(driving.now)
        assert driving.now - silent < 0.2 + 0.25 + gap


def test_a_message_renews_the_credit_of_its_own_source_only(driving):
    for _ in range(10):
        driving.teleop.on_velocity("navigation", Velocity(0.5, 0.0, 0.0), driving.now)
        driving.now += 0.1
        driving.output = driving.teleop.tick(driving.now)
    assert driving.output.source == "navigation"


def test_a_stalled_process_still_follows_a_living_joystick(driving):
    for _ in range(10):
        driving.now += 0.25
        driving.joy(vx=1.0, buttons=(4,))
        assert driving.teleop.tick(driving.now).source == "joystick"


@pytest.mark.parametrize("rate_hz", [0.0, 10.0, -50.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused_with_its_range(rate_hz):
    with pytest.raises(ValueError, match=rf"rate_hz is {rate_hz}; allowed: 16\.6667 to 500"):
        Operator(rate_hz=rate_hz)


def test_numbers_must_be_finite():
    with pytest.raises(ValueError, match=r"scale_linear\.x is nan; allowed: a finite number"):
        Operator(**{"scale_linear.x": float("nan")})
