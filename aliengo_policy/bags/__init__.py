"""Recordings: write them, read them without ROS, report on them, replay them."""
