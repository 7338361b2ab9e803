"""Two set-ups of one checkout at once do not disturb each other."""

import fcntl
import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, set to a checkout that is `tmp_path`."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("VENV", "LOCK"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).name)
    monkeypatch.setattr("sys.argv", ["bootstrap.py", "sim"])
    return module


def test_every_step_runs_under_a_lock_that_outlives_the_environment(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def step(*_: object) -> bool:
        # What `venv --clear` does.
        shutil.rmtree(bootstrap.VENV, ignore_errors=True)
        bootstrap.VENV.mkdir()
        with open(bootstrap.LOCK, "w", encoding="utf-8") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
            else:
                held.append(False)
        return False

    steps = ("check_host", "create_environment", "install_requirements", "build_messages",
             "add_source_folders")  # fmt: skip
    for name in steps:
        monkeypatch.setattr(bootstrap, name, step)
    assert bootstrap.main() == 0
    assert held == [True] * len(steps)


def test_git_ignores_the_lock() -> None:
    assert "/.venv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
