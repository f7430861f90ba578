"""The tests of the Gaia Platform: one folder for each suite, whose name is the suite's marker."""
