"""The checks of the Gaia Platform: one folder a suite, and the folder's name is the suite's marker."""
