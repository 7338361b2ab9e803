"""The policies that are loaded at start, so that switching between them needs no wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aliengo_policy.contract import ContractError
from aliengo_policy.runtime import PolicyRuntime


def load_policies(
    selected: Path, folder: Path, warn: Callable[[str], None]
) -> dict[str, PolicyRuntime]:
    """Load the selected policy and every other one of a folder.

    Args:
        selected: file that must load.
        folder: further ``*.onnx`` files are offered for switching; one that is refused is left out.
        warn: told about each file that is left out.

    Returns:
        Runtimes by name; the selected one comes first.

    Raises:
        ContractError: when the selected policy cannot be used.
    """
    first = PolicyRuntime(selected)
    policies = {first.name: first}
    for path in sorted(folder.glob("*.onnx")):
        if path.stem in policies:
            continue
        try:
            policies[path.stem] = PolicyRuntime(path)
        except ContractError as error:
            warn(f"policy {path.stem} is not offered: {error}")
    return policies
