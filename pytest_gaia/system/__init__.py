"""What the operating system gives, and the one way in which it is used: signals, waiting, locks, journals, git."""
