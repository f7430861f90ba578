"""Services of a compose file on this machine, by Docker."""
