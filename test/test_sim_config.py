"""The shipped settings of the twin fit the twin."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aliengo_description.parameters import check_range
from aliengo_sim.parameters import PARAMETERS, make_config

CONFIG = Path(__file__).resolve().parents[1] / "config" / "sim.yaml"


@pytest.fixture
def values() -> dict[str, object]:
    return yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["/**"]["ros__parameters"]


def test_every_key_is_a_parameter_of_its_type_and_in_its_range(values: dict[str, object]) -> None:
    known = {parameter.name: parameter for parameter in PARAMETERS}
    assert values
    for name, value in values.items():
        assert name in known
        assert type(value) is type(known[name].default), name
        check_range(known[name], value)


def test_the_shipped_twin_answers_where_the_bridge_looks_for_the_robot(values) -> None:
    defaults = {parameter.name: parameter.default for parameter in PARAMETERS}
    config = make_config({**defaults, **values})
    assert (config.host, config.port) == ("127.0.0.1", 8007)
    assert config.substeps == 2
    assert config.physics_period_s <= 0.001
