"""The documentation keeps up with the code: faults, models and tasks that exist are described."""

import dataclasses
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


def test_the_policy_file_page_explains_each_field() -> None:
    from aliengo_policy.contract import METADATA_KEY, PolicyContract

    page = (ROOT / "docs" / "policy_file.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    fields = {item.name for item in dataclasses.fields(PolicyContract) if item.init}
    assert set(re.findall(r"`(\w+)`", rows)) == fields
    assert f'metadata_props["{METADATA_KEY}"]' in page


def table(page: str, first: str) -> list[list[str]]:
    """Cells of the table that has a row that begins so, from that row on."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| {first}"))
    end = next(n for n in range(begin, len(lines)) if not lines[n].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin:end]]


def straight_ahead(model: str) -> dict[float, tuple[float, float, float]]:
    """Survival [%], RMSE of vx [m/s] and duty of the right front foot by speed, from a card."""
    names, _, *rows = table(f"models/{model}.md", "vx")
    sideways = range(1, names.index("survival %"))
    wanted = [names.index(name) for name in ("survival %", "RMSE vx", "duty FL FR RL RR")]
    found = {}
    for row in rows:
        if all(float(row[index]) == 0.0 for index in sideways):
            survival, error, duty = (row[index] for index in wanted)
            found[float(row[0])] = (float(survival), float(error), float(duty.split()[1]))
    return found


@pytest.mark.parametrize("page", ["README.md", "README.ru.md"])
def test_the_figures_of_the_readme_are_those_of_the_cards(page: str) -> None:
    rows = [[cell.replace(",", ".") for cell in row[1:]] for row in table(page, "vx")]
    columns = zip(*rows, strict=True)
    card = straight_ahead("base")
    card.update({speed: row for speed, row in straight_ahead("residual").items() if speed > 1.1})
    shown = {float(speed): tuple(map(float, rest)) for speed, *rest in columns}
    assert shown == {speed: card[speed] for speed in shown}
    assert len(shown) == 11


def test_the_readme_is_short() -> None:
    for name in ("README.md", "README.ru.md"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 200, name
