"""Runs learned walking policies on the Unitree Aliengo, and everything around them."""
