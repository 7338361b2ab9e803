"""The Aliengo's wire protocol, links, safety supervisor and ROS 2 bridge node."""
