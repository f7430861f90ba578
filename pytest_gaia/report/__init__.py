"""What people and machines get to see. Text in, text out: nothing here knows pytest."""
