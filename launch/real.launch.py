"""The robot: bridge, policy and what goes with them. `--show-args` lists the arguments."""

from aliengo_policy.graph import REAL_ARGUMENTS, real_graph
from aliengo_policy.launching import describe
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return describe(REAL_ARGUMENTS, real_graph)
