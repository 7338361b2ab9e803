# Source this (bash or zsh) to use the environment that `make setup` made: our packages, the messages and ROS 2.
#
# With a system ROS 2, source that one first; otherwise the wheels in .venv are used.
_aliengo_root="$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")/.." && pwd)"
_aliengo_venv="$_aliengo_root/.venv"
if [ ! -x "$_aliengo_venv/bin/python" ]; then
    echo "$_aliengo_venv does not exist: run \`make setup\` first" >&2
    return 1
fi
case ":$PATH:" in
    *":$_aliengo_venv/bin:"*) ;;
    *)
        export VIRTUAL_ENV="$_aliengo_venv"
        export PATH="$_aliengo_venv/bin:$PATH"
        export AMENT_PREFIX_PATH="$_aliengo_venv${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}"
        export CMAKE_PREFIX_PATH="$_aliengo_venv${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
        export LD_LIBRARY_PATH="$_aliengo_venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        ;;
esac
# Without a screen MuJoCo must be told how to draw; told nothing, it may abort the process.
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}${MUJOCO_GL:-}" ]; then
    case "$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null)" in
        *libEGL.so.1*) export MUJOCO_GL=egl ;;
        *libOSMesa.so*) export MUJOCO_GL=osmesa ;;
        *) export MUJOCO_GL=disable ;;
    esac
fi
unset _aliengo_root _aliengo_venv
