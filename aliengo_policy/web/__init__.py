"""A live view of the robot in the browser, with buttons and a virtual stick."""
