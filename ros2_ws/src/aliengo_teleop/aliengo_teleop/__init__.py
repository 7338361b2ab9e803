"""Operator input for the Aliengo: joystick, keyboard and remote to velocity commands."""
