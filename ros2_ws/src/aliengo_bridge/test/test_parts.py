"""The small parts: ages, limits, timing, remote, commanders, black box, diagnostics."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from fake_robots import lying_state, wait_for

from aliengo_bridge import diagnostics
from aliengo_bridge.ages import StallAwareAge
from aliengo_bridge.blackbox import BlackBox, BlackBoxWriter, Tick
from aliengo_bridge.commanders import CommanderWatch
from aliengo_bridge.limits import LooseningError, SafetyLimits, limit_specs
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.messages import damping_command
from aliengo_bridge.remote import BUTTONS, decode_remote
from aliengo_bridge.safety import Mode, Status
from aliengo_bridge.timing import Punctuality, TickTimes


def test_age_without_stalls_is_exact() -> None:
    age = StallAwareAge(credit_s=0.2)
    for _ in range(50):
        age.advance(0.002)
    assert age.age_s == pytest.approx(0.1)


def test_age_forgives_a_stall_up_to_the_credit() -> None:
    age = StallAwareAge(credit_s=0.2)
    age.advance(0.15)
    assert age.age_s == pytest.approx(StallAwareAge.STALL_S)
    age.advance(0.15)
    assert age.age_s == pytest.approx(0.3 - 0.2)
    age.reset()
    assert age.age_s == 0.0


@pytest.mark.parametrize("name", limit_specs())
def test_every_limit_has_its_default_in_its_range_and_refuses_what_is_outside(name: str) -> None:
    spec = limit_specs()[name]
    assert spec.description
    for outside in (spec.lowest - 1, spec.highest + 1, float("nan")):
        with pytest.raises(ValueError, match=f"{name} is .* allowed are"):
            SafetyLimits(**{name: outside})


@pytest.mark.parametrize("name", limit_specs())
def test_every_limit_moves_only_its_safe_way(name: str) -> None:
    limits, spec = SafetyLimits(), limit_specs()[name]
    value = getattr(limits, name)
    lower, higher = (value + spec.lowest) / 2, (value + spec.highest) / 2
    allowed, refused = (lower, higher) if spec.tighter == "lower" else (higher, lower)
    if refused != value:
        with pytest.raises(LooseningError, match=name):
            limits.tightened({name: refused})
    if spec.tighter == "fixed":
        allowed = value
    assert getattr(limits.tightened({name: allowed}), name) == allowed


def test_a_limit_that_is_read_only_at_the_start_cannot_be_changed_later() -> None:
    with pytest.raises(LooseningError, match="stall_credit_s is fixed"):
        SafetyLimits().tightened({"stall_credit_s": 0.1})


def test_unknown_limit_is_named() -> None:
    with pytest.raises(ValueError, match="unknown limit 'tild_rad'"):
        SafetyLimits().tightened({"tild_rad": 0.5})


def test_tick_times_count_missed_periods_and_keep_the_grid() -> None:
    times = TickTimes(0.002)
    assert times.add(1.0, 1.0001) == 1.0
    assert times.add(1.002, 1.0071) == pytest.approx(1.006)
    summary = times.summary()
    assert (summary.ticks, summary.missed) == (2, 2)
    assert summary.max_s == pytest.approx(0.0051)


def test_tick_times_report_rate_and_percentiles() -> None:
    times = TickTimes(0.002, window=100)
    for i in range(201):
        times.add(0.002 * i, 0.002 * i + 0.0001 * (i % 2))
    summary = times.summary()
    assert summary.rate_hz == pytest.approx(500.0, rel=0.01)
    assert summary.p99_s == pytest.approx(0.0001, rel=1e-3)
    assert summary.missed == 0


def test_tick_times_are_of_the_window_and_forget_what_was_before_it() -> None:
    times = TickTimes(0.002, window=100)
    deadline = 0.0
    for late in (*[0.0] * 300, 0.05, *[0.0] * 50):
        deadline = times.add(deadline, deadline + late) + 0.002
    assert times.summary().max_s == pytest.approx(0.05, rel=1e-5)
    for _ in range(100):
        deadline = times.add(deadline, deadline + 0.001) + 0.004  # 250 Hz from now on
    summary = times.summary()
    assert summary.max_s == pytest.approx(0.001, rel=1e-5)
    assert summary.rate_hz == pytest.approx(250.0, rel=0.01)
    assert (summary.ticks, summary.missed) == (451, 25)


@pytest.mark.parametrize("bit", range(16))
def test_remote_buttons_stand_at_their_bits(bit: int) -> None:
    block = np.zeros(40, dtype=np.uint8)
    block[2 + bit // 8] = 1 << bit % 8
    remote = decode_remote(block)
    assert remote.pressed == {BUTTONS[bit]}
    assert not remote.stop


def test_remote_sticks_and_stop() -> None:
    block = np.zeros(40, dtype=np.uint8)
    block[4:24] = np.frombuffer(
        np.array([0.1, 0.2, np.nan, 0.4, -3.0], dtype="<f4").tobytes(), dtype=np.uint8
    )
    block[2:4] = (0x20, 0x02)
    remote = decode_remote(block)
    assert (remote.lx, remote.rx, remote.l2) == pytest.approx((0.1, 0.2, 0.4))
    assert (remote.ry, remote.ly) == (0.0, -1.0)  # not finite is centred, too far is clipped
    assert remote.stop


def test_one_commander_who_was_restarted_is_no_conflict() -> None:
    watch = CommanderWatch()
    assert not any(watch.hear(b"first", 0.02 * i) for i in range(50))
    assert not watch.hear(b"second", 1.5)


def test_two_commanders_are_a_conflict_until_one_is_silent() -> None:
    watch = CommanderWatch()
    watch.hear(b"first", 0.0)
    assert watch.hear(b"second", 0.02)
    assert watch.conflict(0.2)
    watch.hear(b"first", 0.2)
    assert not watch.conflict(0.4)


def recorded(count: int) -> BlackBox:
    box = BlackBox(ticks=500)
    for i in range(count):
        state = lying_state(i)
        box.record(Tick(0.002 * i, "active", (0.0, 0.01), state, damping_command(5.0)))
    return box


def test_black_box_keeps_the_last_second_and_writes_it(tmp_path: Path) -> None:
    writer = BlackBoxWriter(tmp_path / "faults")
    writer.submit("tilt", "too far", recorded(700).contents())
    wait_for(lambda: writer.written, "record")
    with np.load(writer.written[0]) as record:
        ticks = record["ticks"]
        assert (str(record["fault"]), str(record["detail"])) == ("tilt", "too far")
    np.testing.assert_array_equal(ticks["tick"], np.arange(200, 700))
    np.testing.assert_allclose(ticks["q"][-1], lying_state().q[:12], atol=1e-6)
    np.testing.assert_array_equal(ticks["sent_kd"], 5.0)
    assert not list(writer.written[0].parent.glob("*.partial"))


def test_a_disk_that_cannot_be_written_is_reported_and_nothing_more(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    writer = BlackBoxWriter(blocked / "faults")
    writer.submit("tilt", "", recorded(3).contents())
    wait_for(lambda: writer.last_error, "error")
    assert "cannot write the fault record" in writer.last_error


def test_a_full_disk_is_reported_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    writer = BlackBoxWriter(tmp_path)
    writer.submit("tilt", "", recorded(3).contents())
    wait_for(lambda: writer.last_error, "error")
    assert "No space left on device" in writer.last_error
    assert list(tmp_path.iterdir()) == []


def test_old_records_are_removed(tmp_path: Path) -> None:
    for i in range(BlackBoxWriter.KEEP + 5):
        (tmp_path / f"fault_20000101T{i:06d}_tilt.npz").write_bytes(b"")
    writer = BlackBoxWriter(tmp_path)
    writer.submit("tilt", "", recorded(3).contents())
    wait_for(lambda: len(list(tmp_path.iterdir())) == BlackBoxWriter.KEEP, "clean-up")
    assert writer.written[0].exists()


def test_a_record_survives_its_own_clean_up_when_the_clock_was_set_back(tmp_path: Path) -> None:
    for i in range(BlackBoxWriter.KEEP + 5):
        (tmp_path / f"fault_29990101T{i:06d}_tilt.npz").write_bytes(b"")
    writer = BlackBoxWriter(tmp_path)
    writer.submit("tilt", "", recorded(3).contents())
    wait_for(lambda: len(list(tmp_path.iterdir())) == BlackBoxWriter.KEEP, "clean-up")
    assert writer.written[0].exists()


def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    old, fresh = tmp_path / "fault_1_tilt.partial", tmp_path / "fault_2_tilt.partial"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0.0, 0.0))
    writer = BlackBoxWriter(tmp_path)
    writer.submit("tilt", "", recorded(3).contents())
    wait_for(lambda: not old.exists(), "clean-up")
    assert fresh.exists()


def test_link_report_says_what_is_wrong() -> None:
    before, now = LinkCounters(), LinkCounters(received=500)
    assert diagnostics.link_report(now, before, 0.001, 0.05).level == diagnostics.OK
    now.foreign = 3
    report = diagnostics.link_report(now, before, 0.001, 0.05)
    assert (report.level, report.message) == (
        diagnostics.WARN,
        "3 datagrams from others than the robot",
    )
    assert diagnostics.link_report(now, before, 0.2, 0.05).level == diagnostics.ERROR
    now.high_level = 1
    assert "sport mode" in diagnostics.link_report(now, before, 0.2, 0.05).message


def test_loop_report_warns_of_lateness() -> None:
    times = Punctuality(5000, 20, 498.0, 1e-4, 5e-4, 2e-3)
    assert diagnostics.loop_report(times, 20, "", {}).level == diagnostics.OK
    assert diagnostics.loop_report(times, 0, "", {}).level == diagnostics.WARN
    silent = diagnostics.loop_report(times, 20, "silent for 2.0 s", {})
    assert (silent.level, silent.message) == (diagnostics.ERROR, "silent for 2.0 s")


def test_safety_report_follows_the_status() -> None:
    fault = Status(Mode.DAMPING, "tilt", "too far", ("tilt",), True)
    assert diagnostics.safety_report(fault, "", {}).level == diagnostics.ERROR
    assert diagnostics.safety_report(Status(Mode.WAITING), "", {}).level == diagnostics.WARN
    assert diagnostics.safety_report(Status(Mode.ACTIVE), "", {}).level == diagnostics.OK


def test_motor_report_names_the_hottest() -> None:
    state = lying_state()
    state.temperature[7] = 65
    report = diagnostics.motor_report(state.temperature[:12], SafetyLimits())
    assert report.level == diagnostics.WARN
    assert "RL_thigh_joint at 65 degC" in report.message
    state.temperature[7] = 80
    assert (
        diagnostics.motor_report(state.temperature[:12], SafetyLimits()).level == diagnostics.ERROR
    )
