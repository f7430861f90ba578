"""Checks of databases: whose they are, and how far away."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pytest_gaia.config.deployfiles.model import App, Deployment
from pytest_gaia.preflight._addresses import Database, databases, environment_of, said_region
from pytest_gaia.preflight.files import DeployFiles, beyond_dev, rank
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.spelling import environment_name
from pytest_gaia.preflight.standing import head


class _Use(NamedTuple):
    """One app that uses one database."""

    environment: str
    app: App
    database: Database


@check("shared-database", "error", refuses=True)
def shared_database(files: DeployFiles) -> Iterator[Found]:
    """Production or staging uses the database of another environment.

    Tests and migrations of the one change the data of the other, and a load test of the one slows the other down.
    """
    uses = [_Use(environment, app, each) for environment, app in files.apps() for each in databases(app)]
    for use in uses:
        if not beyond_dev(use.environment):
            continue
        named = environment_of(use.database.server)
        owner = environment_name(named) if named else use.environment
        others = [each for each in uses if each.database.server == use.database.server]
        lower = sorted({each.environment for each in others if rank(each.environment) < rank(use.environment)})
        if owner != use.environment or lower:
            yield _shared(use, owner if owner != use.environment else lower[-1], others)


def _shared(use: _Use, owner: str, others: list[_Use]) -> Found:
    names = {each.database.name for each in others if each.environment == owner}
    same = not names or use.database.name in names
    kind = f"the database of {owner}" if same else f"another database on the server of {owner}"
    what = f"{use.database.variable} of {use.app.name} is {kind}, {use.database.server}"
    mend = f"give {use.environment} a database server of its own, and set its address as a secret"
    return Found(use.database.place, what, mend, use.environment)


@check("database-region", "error")
def database_region(files: DeployFiles) -> Iterator[Found]:
    """An app runs in another region than its database.

    Every query crosses the distance: at 60 ms a round trip, an answer made of ten queries waits for 0.6 s.
    """
    for deployment in files.deployments:
        known = _database_region(deployment)
        if known is None:
            continue
        region, source = known
        for app in deployment.apps:
            if app.service not in ("postgres", "nats") and app.region not in (None, region):
                what = f"{app.name} runs in {app.region}, and its database in {region} ({source})"
                mend = f'write primary_region = "{region}", or move the database'
                yield Found(app.place("primary_region"), what, mend, deployment.environment)


def _database_region(deployment: Deployment) -> tuple[str, str] | None:
    """Return the region of the deployment's database, and where that is said."""
    postgres = deployment.app("postgres")
    if postgres is not None and postgres.region:
        return postgres.region, str(postgres.place("primary_region"))
    for app in deployment.apps:
        said = said_region(app)
        if said is not None:
            return said[0], str(said[1])
        for database in databases(app):
            if database.region:
                return database.region, str(database.place)
    return None


@check("split-regions", "error")
def split_regions(files: DeployFiles) -> Iterator[Found]:
    """The services of one environment run in different regions.

    They call each other for every request, and only one of the regions can be near the database.
    """
    for deployment in files.deployments:
        regions = Counter(app.region for app in deployment.apps if app.region)
        if len(regions) < 2:
            continue
        known = _database_region(deployment)
        most = _most(regions, deployment)
        for app in deployment.apps:
            is_told = known is not None and app.service != "nats"
            if app.region not in (None, most) and not is_told:
                what = f"{app.name} runs in {app.region}, and {_count(regions, most)} of {deployment.environment} in {most}"
                mend = f'write primary_region = "{most}"'
                yield Found(app.place("primary_region"), what, mend, deployment.environment)


def _most(regions: Counter[str], deployment: Deployment) -> str:
    """Return the region that most apps are in; of two, the database's, or else the gateway's."""
    most = max(regions.values())
    best = [region for region, count in regions.items() if count == most]
    known, gateway = _database_region(deployment), deployment.app("gateway")
    preferred = (known[0] if known else None, gateway.region if gateway else None)
    return next((region for region in preferred if region in best), best[0])


def _count(regions: Counter[str], region: str) -> str:
    count = regions[region]
    return "one app" if count == 1 else f"{count} apps"


@check("region-missing", "warning")
def region_missing(files: DeployFiles) -> Iterator[Found]:
    """An app names no region.

    Fly then picks the one that is nearest to whoever deploys first, which need not be where the database is.
    """
    for environment, app in files.apps("fly"):
        if not app.region:
            what = f"the file of {app.name} has no primary_region"
            yield Found(head(app), what, 'write primary_region = "…", the region of the database', environment)
