"""Every call of Isaac Gym's interface is compared with a table of that interface."""

import ast
import json
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

import aliengo_training

PACKAGE = Path(aliengo_training.__file__).parent
SOURCES = sorted(PACKAGE.rglob("isaac_*.py"))
API: Dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "isaac_gym_api.json").read_text(encoding="utf-8")
)
MODULES = ("gym", "gymapi", "gymtorch")


def module_of(node: ast.AST) -> str:
    """Return "gym", "gymapi" or "gymtorch" for the expressions that stand for them, else ""."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    name = name.lstrip("_")
    return name if name in MODULES else ""


def check_call(call: ast.Call, module: str, name: str) -> List[str]:
    """Compare the arguments of a call with the table; a parameter ending in "=" has a default."""
    where = f"line {call.lineno}: {module}.{name}"
    if name not in API[module]:
        return [f"{where} is not in the table"]
    parameters = API[module][name]
    if parameters is None:
        return [f"{where} is a constant and is called"]
    names = [p.rstrip("=") for p in parameters]
    required = {p for p in parameters if not p.endswith("=")}
    given = names[: len(call.args)]
    keywords = [keyword.arg for keyword in call.keywords]
    problems = []
    if len(call.args) > len(names):
        problems.append(f"{where} takes {len(names)} arguments, got {len(call.args)}")
    problems += [f"{where} has no argument {k!r}" for k in keywords if k not in names]
    missing = required - set(given) - set(keywords)
    return problems + [f"{where} lacks {sorted(missing)}"] * bool(missing)


def check_source(source: str) -> List[str]:
    """Return what in a source does not agree with the table."""
    problems = []
    tree = ast.parse(source)
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            module = module_of(node.func.value)
            if module:
                called.add(id(node.func))
                problems += check_call(node, module, node.func.attr)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in called:
            module = module_of(node.value)
            if module and node.attr not in API[module]:
                problems.append(f"line {node.lineno}: {module}.{node.attr} is not in the table")
        problems += check_fields(node)
    return problems


def check_fields(node: ast.AST) -> List[str]:
    """Check names of properties that are set: `params.dt = ...`, `properties["friction"][i] = ...`."""
    if not isinstance(node, (ast.Assign, ast.AugAssign)):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    problems = []
    for target in targets:
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            known = API["fields"].get(target.value.id)
            if known is not None and target.attr not in known:
                problems.append(
                    f"line {target.lineno}: {target.value.id}.{target.attr} is not in the table"
                )
        text = ast.dump(target)
        if "id='properties'" in text and isinstance(target, ast.Subscript):
            inner = target.value
            if isinstance(inner, ast.Subscript):
                index = inner.slice
                index = getattr(index, "value", index)  # Python 3.8 wraps it
                name = getattr(index, "value", index)
                if name not in API["dof_properties"]:
                    problems.append(f"line {target.lineno}: joint property {name!r} is not known")
    return problems


def test_every_call_is_in_the_table() -> None:
    assert len(SOURCES) >= 3
    problems = {p.name: check_source(p.read_text(encoding="utf-8")) for p in SOURCES}
    assert not any(problems.values()), problems


def test_the_sources_really_call_it() -> None:
    """Guards the check above against passing because it sees nothing."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    seen = {
        node.func.attr
        for node in ast.walk(ast.parse(text.replace("from __future__ import annotations", "")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and module_of(node.func.value)
    }
    assert len(seen) > 35
    assert {"simulate", "set_dof_state_tensor_indexed", "prepare_sim", "Vec3"} <= seen


PLANTED = {
    "gym.step_everything(sim)": "gym.step_everything is not in the table",
    "self._gym.simulate()": r"simulate lacks \['sim'\]",
    "self._gym.simulate(sim, 1)": "takes 1 arguments, got 2",
    "self._gym.load_asset(sim, 'a', 'b', option=1)": "has no argument 'option'",
    "self._gym.load_asset(sim, 'a')": r"lacks \['filename'\]",
    "x = gymapi.SIM_FLEXX": "gymapi.SIM_FLEXX is not in the table",
    "gymapi.SIM_PHYSX()": "is a constant and is called",
    "params.time_step = 1": "params.time_step is not in the table",
    "properties['armatures'][0] = 1": "joint property 'armatures'",
    "self._gymtorch.wrap(x)": "gymtorch.wrap is not in the table",
}


@pytest.mark.parametrize("planted", sorted(PLANTED))
def test_a_planted_fault_is_found(planted: str) -> None:
    (problem,) = check_source(planted)
    assert re.search(PLANTED[planted], problem)
