"""Checks of databases: their environment and their region."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pytest_gaia.config.deployfiles.model import App, Deployment
from pytest_gaia.preflight.files import Database, DeployFiles, databases, head, said_region
from pytest_gaia.preflight.findings import Found, check


class _Use(NamedTuple):
    """One app that uses one database."""

    environment: str
    app: App
    database: Database


@check("shared-database", "error", refuses=True)
def shared_database(files: DeployFiles) -> Iterator[Found]:
    """Production or staging uses the database of another environment.

    Tests and migrations of one environment change the data of the other, and load tests slow it down.
    """
    known = files.environments
    uses = [_Use(environment, app, each) for environment, app in files.apps() for each in databases(app)]
    for use in uses:
        if not files.is_protected(use.environment):
            continue
        named = known.ending(use.database.server)
        owner = known.name(named) if named else use.environment
        others = [each for each in uses if each.database.server == use.database.server]
        lower = sorted(
            {each.environment for each in others if known.rank(each.environment) < known.rank(use.environment)}
        )
        if owner != use.environment or lower:
            yield _shared(use, owner if owner != use.environment else lower[-1], others)


def _shared(use: _Use, owner: str, others: list[_Use]) -> Found:
    names = {each.database.name for each in others if each.environment == owner}
    same = not names or use.database.name in names
    kind = f"the database of {owner}" if same else f"another database on the server of {owner}"
    what = f"{use.database.variable} of {use.app.name} is {kind}, {use.database.server}"
    fix = f"create a separate database server for {use.environment}, and set its address as a secret"
    return Found(use.database.place, what, fix, use.environment)


@check("database-region", "error")
def database_region(files: DeployFiles) -> Iterator[Found]:
    """An app and its database run in different regions.

    Every query travels between the regions. With a round trip of 60 ms, ten queries take 0.6 s.
    """
    for deployment in files.deployments:
        known = _database_region(deployment)
        if known is None:
            continue
        region, source = known
        for app in deployment.apps:
            if not app.is_server and app.region not in (None, region):
                what = f"{app.name} runs in {app.region}, but its database in {region} ({source})"
                fix = f'write primary_region = "{region}", or move the database'
                yield Found(app.place("primary_region"), what, fix, deployment.environment)


def _database_region(deployment: Deployment) -> tuple[str, str] | None:
    """Return the region of the deployment's database and its source; None if it is unknown."""
    # With several databases, which app uses which is not known.
    found = [app for app in deployment.apps if app.kind == "postgres"]
    postgres = found[0] if len(found) == 1 else None
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

    They call each other for every request, and only one of the regions is near the database.
    """
    for deployment in files.deployments:
        regions = Counter(app.region for app in deployment.apps if app.region)
        if len(regions) < 2:
            continue
        known = _database_region(deployment)
        most = _most(regions, deployment)
        for app in deployment.apps:
            is_reported = known is not None and (app.kind == "postgres" or not app.is_server)
            if app.region not in (None, most) and not is_reported:
                what = f"{app.name} runs in {app.region}, but {_count(regions, most)} of {deployment.environment} in {most}"
                fix = f'write primary_region = "{most}"'
                yield Found(app.place("primary_region"), what, fix, deployment.environment)


def _most(regions: Counter[str], deployment: Deployment) -> str:
    """Return the region with the most apps; of several, that of the database, or else that of the entry."""
    most = max(regions.values())
    best = [region for region, count in regions.items() if count == most]
    known, name = _database_region(deployment), deployment.platform.entry
    entry = deployment.app(name) if name else None
    preferred = (known[0] if known else None, entry.region if entry else None)
    return next((region for region in preferred if region in best), best[0])


def _count(regions: Counter[str], region: str) -> str:
    count = regions[region]
    return "one app" if count == 1 else f"{count} apps"


@check("region-missing", "warning")
def region_missing(files: DeployFiles) -> Iterator[Found]:
    """An app has no region.

    Fly then chooses the region nearest to the first deployment, which may be far from the database.
    """
    for environment, app in files.apps("fly"):
        if not app.region:
            what = f"the file of {app.name} has no primary_region"
            yield Found(head(app), what, 'write primary_region = "REGION" with the region of the database', environment)
