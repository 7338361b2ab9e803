"""When a foot is on the ground: the same for rewards and for figures."""

CONTACT_FORCE_N = 2.0
"""It presses harder than this [N]; the robot weighs 245 N."""
