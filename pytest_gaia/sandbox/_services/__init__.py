"""Reference services of the Gaia Platform: gateway, auth, asset and chat as raw ASGI applications.

They answer as the release that the suites were written against, its defects included (``fixed=True`` serves it without).

>>> from pytest_gaia.sandbox._services import CellSettings, build_cell, schema, seed
>>> # once for the template database:   await connection.execute(schema()); await seed(connection, api_key)
>>> # for each cell:                    cell = build_cell(CellSettings(...)); serve cell.apps; await cell.start()
"""

from pytest_gaia.sandbox._services.cell import CellApps, CellSettings, build_cell
from pytest_gaia.sandbox._services.database import USER_ID, schema, seed
from pytest_gaia.sandbox._services.faults import Faults

__all__ = ["USER_ID", "CellApps", "CellSettings", "Faults", "build_cell", "schema", "seed"]
