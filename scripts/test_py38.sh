#!/usr/bin/env bash
# Runs the tests of training/ and aliengo_description in Python 3.8, in .venv-py38.
#
# PYTHON38 names the interpreter, if `python3.8` does not start it. TORCH_SOURCE says where torch 2.4
# comes from: `cpu` (PyTorch's index of CPU builds), `pypi` (brings 2.5 GB of CUDA libraries), `none`
# (the tests that need torch are skipped), or empty: `cpu` where that index answers, else `none`.
set -euo pipefail
cd "$(dirname "$0")/.."
index=https://download.pytorch.org/whl/cpu
venv=.venv-py38

python=""
for candidate in "${PYTHON38:-}" python3.8 "$HOME"/.pyenv/versions/3.8.*/bin/python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "no Python 3.8 found; name one: make test-py38 PYTHON38=/path/to/python3.8" >&2
    exit 1
fi

source=${TORCH_SOURCE:-}
if [ -z "$source" ]; then
    source=none
    if "$python" -c "import urllib.request; urllib.request.urlopen('$index/torch/', timeout=3)" 2>/dev/null; then
        source=cpu
    fi
fi
stamp="$source $(sha256sum requirements/py38.txt)"
if [ "$(cat $venv/stamp 2>/dev/null)" != "$stamp" ]; then
    echo "[setup] creating $venv with $("$python" --version), torch from: $source"
    (
        # Not in the root: there, distutils of Python 3.8 obeys the setup.cfg of the ROS package.
        mkdir -p $venv
        cd $venv
        "$python" -m venv --clear .
        install="bin/python -m pip install --quiet --disable-pip-version-check"
        $install --no-deps --requirement ../requirements/py38.txt
        case $source in
            cpu) $install --extra-index-url $index torch==2.4.1 ;;
            pypi) $install torch==2.4.1 ;;
            none) echo "[setup] no torch: the tests that need it are skipped (TORCH_SOURCE=pypi)" ;;
            *) echo "TORCH_SOURCE must be cpu, pypi or none, not '$source'" >&2 && exit 1 ;;
        esac
    )
    echo "$stamp" >$venv/stamp
fi

export PYTHONPATH=$PWD/training:$PWD/ros2_ws/src/aliengo_description
$venv/bin/python -m compileall -q training ros2_ws/src/aliengo_description
exec $venv/bin/python -m pytest training/test ros2_ws/src/aliengo_description/test -m "not gpu" "$@"
