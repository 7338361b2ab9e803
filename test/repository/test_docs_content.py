"""The documentation keeps up with the code: faults, models and tasks that exist are described."""

import re
from pathlib import Path

import pytest

from aliengo_bridge.faults import FAULTS, Fault, Reaction

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_the_robot_page_tells_what_to_do_about_each_fault(fault: Fault) -> None:
    page = (ROOT / "docs" / "robot.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{fault.value}` \| ([^|]+) \|[^|]+\|[^|]+\|$", page, re.MULTILINE)
    assert row, f"docs/robot.md has no row for the fault {fault.value}"
    expected = "damping" if FAULTS[fault].reaction is Reaction.DAMPING else "sit down"
    assert row.group(1) == expected


def test_the_robot_page_describes_no_fault_that_does_not_exist() -> None:
    page = (ROOT / "docs" / "robot.md").read_text(encoding="utf-8")
    table = page[page.index("| fault | reaction") :].split("\n\n")[0]
    described = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert described == {fault.value for fault in Fault}


@pytest.mark.parametrize("model", sorted((ROOT / "models").glob("*.onnx")), ids=lambda p: p.stem)
def test_each_model_has_a_card_that_names_its_weights(model: Path) -> None:
    from aliengo_policy.runtime import PolicyRuntime

    card = model.with_suffix(".md").read_text(encoding="utf-8")
    assert PolicyRuntime(model).contract.weights_sha256 in card


def test_the_readme_is_short() -> None:
    for name in ("README.md", "README.ru.md"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 200, name
