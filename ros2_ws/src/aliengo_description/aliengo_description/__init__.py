"""The Unitree Aliengo as data: names, limits, masses, kinematics, URDF and MJCF."""
