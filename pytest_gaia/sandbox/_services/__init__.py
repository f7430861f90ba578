"""Reference services of the Gaia Platform as ASGI applications: gateway, auth, asset and chat, and with the API ``next`` of
its newest release also kb and web.

They respond like the observed version of the platform, including its known bugs; ``fixed=True`` fixes them.

>>> from pytest_gaia.sandbox._services import StackSettings, build_stack, seed
>>> # once for the template database:   create the tables in schema.sql; await seed(connection, api_key)
>>> # for each stack:                   stack = build_stack(StackSettings(...)); serve stack.apps; await stack.start()
"""

from pytest_gaia.sandbox._services.database import USER_ID, seed
from pytest_gaia.sandbox._services.faults import Faults
from pytest_gaia.sandbox._services.stack import NO_NATS, StackApps, StackSettings, build_stack

__all__ = ["NO_NATS", "USER_ID", "Faults", "StackApps", "StackSettings", "build_stack", "seed"]
