"""What the command line of the bring-up asks for."""

from collections.abc import Sequence
from typing import Any

import pytest

from aliengo_policy import bringup
from aliengo_policy.graph import GraphSettings

Asked = list[GraphSettings]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Settings of the graphs that would have been started."""
    settings: Asked = []

    def take(values: GraphSettings, *_: Any) -> int:
        settings.append(values)
        return 0

    monkeypatch.setattr(bringup, "run_sim", take)
    monkeypatch.setattr(bringup, "run_real", take)
    return settings


@pytest.mark.parametrize(
    ("arguments", "max_vel"),
    [
        (["sim"], 1.0),
        (["sim", "--policy", "residual"], 3.0),
        (["sim", "--speeds", "1.5", "0.5"], 1.5),
        (["sim", "--policy", "residual", "--max-vel", "1.2"], 1.2),
        (["sim", "--policy", "residual", "--max-vel", "1.0"], 1.0),
        (["sim", "--policy", "residual", "--interactive"], 1.0),
        (["real", "--policy", "residual"], 1.0),
    ],
)
def test_the_limit_is_raised_for_the_script_only_and_never_above_what_was_asked_for(
    arguments: Sequence[str], max_vel: float, asked: Asked
) -> None:
    assert bringup.main(arguments) == 0
    assert asked[0].max_vel == max_vel


def test_a_script_beyond_the_limit_is_told(asked: Asked, capsys: pytest.CaptureFixture) -> None:
    bringup.main(["sim", "--policy", "residual", "--max-vel", "1.2"])
    assert "max_vel is 1.2 m/s, the script asks for up to 3 m/s" in capsys.readouterr().err


def test_what_is_not_given_keeps_its_default(asked: Asked) -> None:
    bringup.main(["real", "--record", "--teleop", "ps5"])
    expected = GraphSettings(policy=asked[0].policy, record=True, teleop="ps5")
    assert asked == [expected]
