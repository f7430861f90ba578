"""Reference services of the Gaia Platform: gateway, auth, asset and chat as ASGI applications.

They respond like the observed version of the platform, including its known bugs; ``fixed=True`` fixes them.

>>> from pytest_gaia.sandbox._services import StackSettings, build_stack, schema, seed
>>> # once for the template database:   await connection.execute(schema()); await seed(connection, api_key)
>>> # for each stack:                   stack = build_stack(StackSettings(...)); serve stack.apps; await stack.start()
"""

from pytest_gaia.sandbox._services.database import USER_ID, schema, seed
from pytest_gaia.sandbox._services.faults import Faults
from pytest_gaia.sandbox._services.stack import BACKENDS, NO_NATS, StackApps, StackSettings, build_stack

__all__ = ["BACKENDS", "NO_NATS", "USER_ID", "Faults", "StackApps", "StackSettings", "build_stack", "schema", "seed"]
