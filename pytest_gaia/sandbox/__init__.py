"""The sandbox: one supervised process with a real PostgreSQL, a real NATS server and reference services.

``python -m pytest_gaia.sandbox DIRECTORY`` is the supervisor; :mod:`pytest_gaia.run.sandbox` starts and calls it. This
module imports nothing, because the start of the supervisor takes only milliseconds.
"""
