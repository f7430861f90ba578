"""The embedded platform: one supervised process with a real PostgreSQL, a real NATS server and the services.

``python -m pytest_gaia.sandbox DIRECTORY`` is the supervisor; :mod:`pytest_gaia.run.sandbox` starts it and talks to it.
Nothing is imported here: the supervisor's own start is measured in milliseconds.
"""
