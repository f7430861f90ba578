"""``gaia release``: create, list, show and verify releases."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from pytest_gaia.cli.options import AsJson, Services, complete_release, environment_option, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.cli.release import approval, checks
from pytest_gaia.cli.release.checks import ReleaseId
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.plan import strays_of
from pytest_gaia.promotion.release import kept as releases
from pytest_gaia.promotion.release.comparison import (
    LOCAL_HOOK,
    Comparison,
    check_files,
    check_images,
    check_running,
    deploy_files,
    look,
    named_images,
    running_images,
)
from pytest_gaia.promotion.release.kept import Component, Release
from pytest_gaia.promotion.release.making import make_release
from pytest_gaia.rollout.plan import split_images, split_services
from pytest_gaia.system.processes import DIRTY
from pytest_gaia.verdict.evaluated import EXIT_CODES

HELP = """\
Create, check, approve and report releases.

A release has images by digest, deploy files and a commit. Its ID is a hash of this content.

\b
Examples:
  gaia release create -e dev            a release of what runs in dev
  gaia release list
  gaia release check 3f9a1c -e staging  may it stay in staging?
"""

CREATE_HELP = """\
Create a release from images, and save it in .gaia.

\b
Examples:
  gaia release create --image orders=registry.fly.io/orders@sha256:…
  gaia release create -e dev                      what runs in dev
  gaia release create -e dev --services orders    one service of it
  gaia release create -e local --allow-dirty      for dev at most

A release has the deploy files of all environments, so that a rollback can use them. Its commit and authors come from
git; authors cannot approve the release. Uncommitted changes are an error. The command builds and deploys nothing.

\b
Exit codes: 0 created, or exists already; 1 the environment runs several
versions of a service; 4 usage error; 12 deploy tool or remote unreachable
"""

LIST_HELP = """\
List the releases of this project, newest first.

\b
Example:
  gaia release list
"""

SHOW_HELP = """\
Show a release: images, commit, authors, deploy files.

\b
Examples:
  gaia release show 3f9a1c
  gaia release show 3f9a1c --json | jq -r '.components[].image'
"""

VERIFY_HELP = """\
Compare a release with the working tree, and with what runs.

\b
Examples:
  gaia release verify 3f9a1c
  gaia release verify release.json -e staging

The command compares image digests, deploy files, and the files of the commit that tests read. With -e, it also compares
the images that run in ENV.

\b
Exit codes: 0 identical; 11 something differs (HOLD);
12 environment unreachable; 4 usage error
"""

app = typer.Typer(name="release", help=HELP, no_args_is_help=True)


@app.command("create", help=CREATE_HELP)
def create_release(
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="SERVICE=REF@sha256:…", help="Image of a service; repeatable"),
    ] = None,
    env: Annotated[str | None, environment_option("Use the images that run there; --image overrides")] = None,
    services: Services = None,
    migration_head: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Database migration; default: the newest one of the project"),
    ] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Accept uncommitted changes, for a local release")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the release to FILE, too")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Collect the images, create the release, save it."""
    promotion = Promotion.here()
    images, only_here = _images(promotion, image, env, services)
    release, files = make_release(promotion, images, only_here=only_here, head=migration_head, allow_dirty=allow_dirty)
    release = releases.keep_release(promotion.rootdir, release, files)
    promotion.share(release, files)
    if output is not None:
        _write(output, release)
    if as_json:
        echo_json(release_json(release))
        return
    show_release(release)
    _show_next(promotion, release)


def _show_next(promotion: Promotion, release: Release) -> None:
    stages = {name: promotion.stages[name] for name in promotion.configured()} or promotion.stages
    first = next((name for name, stage in stages.items() if stage.previous is None), next(iter(stages), "ENV"))
    typer.echo(f"saved in {releases.FOLDER}/{release.id}.json\nnext: gaia promote {first} {release.short}")


@app.command("list", help=LIST_HELP)
def list_releases(as_json: AsJson = False) -> None:
    """Print one line for each release."""
    kept = releases.all_releases(Promotion.here().rootdir)
    if as_json:
        echo_json([release_json(each) for each in reversed(kept)])
    else:
        show_releases(kept)


@app.command("show", help=SHOW_HELP)
def show_one(
    release: Annotated[
        str | None,
        typer.Argument(
            metavar="RELEASE",
            help="First digits of the ID, or a file; default: list all",
            autocompletion=complete_release,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print one release, or all."""
    if release is None:
        list_releases(as_json)
        return
    found = Promotion.here().release(release)
    if as_json:
        echo_json(release_json(found))
    else:
        show_release(found)


@app.command("verify", help=VERIFY_HELP)
def verify_release(
    release: ReleaseId,
    env: Annotated[str | None, environment_option("Compare with what runs there, too")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare, print the results, and exit with their code."""
    promotion = Promotion.here()
    found = promotion.release(release)
    parts = [*_at_rest(promotion, found), *(_running(promotion, found, env) if env else ())]
    code, sentence = verdict_of(found, parts)
    if as_json:
        same = code == 0
        echo_json({"id": found.id, "same": same, "exit_code": code, "checks": parts})
    else:
        show_table(("part", "result", ""), [(each.what, each.status, each.reason) for each in parts])
        typer.echo(sentence)
    raise typer.Exit(code)


app.command("check", help=checks.CHECK_HELP)(checks.check_release)
app.command("approve", help=approval.APPROVE_HELP)(approval.approve_check)
app.command("waive", help=approval.WAIVE_HELP)(approval.waive_check)
app.add_typer(checks.attest)
app.command("report", help=approval.REPORT_HELP)(approval.write_report)


def _images(
    promotion: Promotion, given: list[str] | None, from_env: str | None, services: list[str] | None
) -> tuple[Iterable[Component], bool]:
    """Return the ``given`` images and those that run in ``from_env``, and whether an image exists on this machine only."""
    images = split_images(given, (), "--image")
    named = {part.service: part for part in named_images(images, promotion.project.platform, promotion.deployed())}
    observed, only_here = _observed(promotion, from_env, services, named)
    return (observed | named).values(), only_here


def _observed(
    promotion: Promotion, name: str | None, services: list[str] | None, named: dict[str, Component]
) -> tuple[dict[str, Component], bool]:
    """Return the images that run in the environment ``name``, and whether they exist on this machine only."""
    if name is None:
        if services:
            raise ConfigError("--services selects services that run in an environment: add -e ENV.")
        return {}, False
    environment = resolve(options_here(name, project=promotion.project))
    observations = look(environment, promotion.rootdir, split_services(services))
    wanted = [observed for observed in observations if observed.service not in named]
    only_here = environment.deploy is not None and environment.deploy.hook == LOCAL_HOOK and bool(wanted)
    return {part.service: part for part in running_images(wanted, name)}, only_here


def _at_rest(promotion: Promotion, release: Release) -> Iterator[Comparison]:
    yield from check_images(release)
    deployed = deploy_files(promotion.project.deploy_folder)
    yield from check_files(release, deployed, what="deploy file")
    yield from (each for each in _sources(promotion, release) if Path(each.what).name not in deployed)
    kept = releases.configs_folder(promotion.rootdir, release)
    if kept.exists():
        yield from check_files(release, deploy_files(promotion.project.deploy_files_in(kept)), what="kept file")


def _sources(promotion: Promotion, release: Release) -> Iterator[Comparison]:
    """Compare suites, settings and keys with the commit of the release; a dirty release has no commit to compare with."""
    what = f"commit {release.commit[:12]}"
    if release.commit.endswith(DIRTY):
        yield Comparison(what, "left out", "created from uncommitted changes")
        return
    try:
        strays = strays_of(promotion, release)
    except ConfigError as error:
        yield Comparison(what, "unknown", str(error))
        return
    if not strays:
        yield Comparison(what, "same")
    for name, how in strays.items():
        yield Comparison(f"file {name}", "differs", how)


def _running(promotion: Promotion, release: Release, name: str) -> Iterator[Comparison]:
    environment = resolve(options_here(name, project=promotion.project))
    yield from check_running(release, look(environment, promotion.rootdir), name)


def _write(path: Path, release: Release) -> None:
    try:
        releases.write_release(path, release)
    except OSError as error:
        raise ConfigError(f"--output {path}: the file cannot be written: {error.strerror}.") from None


_COMMIT = 10
"""digits of a commit ID in output"""


def release_json(release: Release) -> dict[str, Any]:
    """Return ``release`` as plain values, its ID first."""
    values: dict[str, Any] = msgspec.to_builtins(release)
    return {"id": release.id, "short": release.short, **values}


def show_release(release: Release) -> None:
    """Print all of one release."""
    typer.echo(
        f"release {release.short} ({release.kind}) of commit {_commit(release.commit)}, created {release.created}"
    )
    typer.echo(f"  id          {release.id}")
    typer.echo(f"  migrations  {release.migration_head or 'none'}")
    typer.echo(f"  authors     {', '.join(release.authors)} (cannot approve this release)")
    typer.echo(f"  files       {', '.join(sorted(release.configs)) or 'none'}")
    show_table(("service", "image"), [(part.service, part.image) for part in sorted(release.components)])


def show_releases(releases: Sequence[Release]) -> None:
    """Print one line for each release, newest first."""
    if not releases:
        typer.echo("There is no release yet. To create one, run `gaia release create -h`.", err=True)
        return
    rows = [
        (each.short, each.created, each.kind, _commit(each.commit), ", ".join(sorted(each.digests)))
        for each in reversed(releases)
    ]
    show_table(("release", "created", "kind", "commit", "services"), rows)


def verdict_of(release: Release, checks: Sequence[Comparison]) -> tuple[int, str]:
    """Return the exit code of a comparison, and a sentence about what to do."""
    different = [each.what for each in checks if each.status == "differs"]
    unknown = [each.what for each in checks if each.status == "unknown"]
    if different:
        what = f"{len(different)} of {len(checks)} parts differ from release {release.short}"
        return EXIT_CODES[
            "HOLD"
        ], f"{what}. Create a new release (`gaia release create`), or restore the files and images."
    if unknown:
        return EnvironmentUnavailable.exit_code, f"could not be observed: {', '.join(unknown)}. Run the command again."
    return 0, f"release {release.short} is unchanged"


def _commit(commit: str) -> str:
    """Shorten the digits of a commit ID; keep a suffix such as ``-dirty``."""
    digits, dash, end = commit.partition("-")
    return digits[:_COMMIT] + dash + end
