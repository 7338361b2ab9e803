"""The twin: the robot's graph with a simulated robot. `--show-args` lists the arguments."""

from aliengo_policy.graph import SIM_ARGUMENTS, sim_graph
from aliengo_policy.launching import describe
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    # A simulation has no business on the network.
    return describe(SIM_ARGUMENTS, sim_graph, local=True)
