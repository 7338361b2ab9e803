"""The table of parameters says what the configuration takes, no more and no less."""

from __future__ import annotations

from dataclasses import fields

import pytest

from aliengo_sim.faults import FaultPlan
from aliengo_sim.parameters import FAULT_PREFIX, PARAMETERS, make_config, make_faults
from aliengo_sim.sensors import SensorConfig
from aliengo_sim.twin import TwinConfig

DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


def test_every_field_of_the_configuration_is_a_parameter() -> None:
    own = [item.name for item in fields(TwinConfig) if item.name != "sensors"]
    sensors = [f"sensors.{item.name}" for item in fields(SensorConfig)]
    faults = [f"fault.{item.name}" for item in fields(FaultPlan)]
    of_the_node = ["frame_prefix"]
    assert sorted(DEFAULTS) == sorted(own + sensors + faults + of_the_node)
    assert len(DEFAULTS) == len(PARAMETERS)


def test_defaults_build_the_default_configuration() -> None:
    assert make_config(DEFAULTS) == TwinConfig()
    assert make_faults(DEFAULTS) == FaultPlan()


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_parameters_are_described_and_their_range_holds_the_default(parameter) -> None:
    assert parameter.description.endswith(".")
    if parameter.is_number:
        assert parameter.low <= parameter.default <= parameter.high


def test_only_faults_may_change_at_run_time() -> None:
    changeable = [parameter.name for parameter in PARAMETERS if not parameter.read_only]
    assert changeable
    assert all(name.startswith(FAULT_PREFIX) for name in changeable)


def test_values_arrive_where_they_belong() -> None:
    values = {**DEFAULTS, "port": 9, "sensors.gyroscope_noise": 0.5, "fault.loss": 0.3}
    assert make_config(values).port == 9
    assert make_config(values).sensors.gyroscope_noise == 0.5
    assert make_faults(values).loss == 0.3
