"""HTTP: the clients of the services, guarded and recorded."""
