"""``gaia bundle``: what is released together, under one name."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from pytest_gaia.cli.options import AsJson, Services, environment_option, options_here
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.plan import strays_of
from pytest_gaia.promotion.release import kept as releases
from pytest_gaia.promotion.release.comparison import Comparison, check_files, check_images, check_running, deploy_files
from pytest_gaia.promotion.release.images import LOCAL_HOOK, look, named_images, running_images
from pytest_gaia.promotion.release.making import DIRTY, make_release
from pytest_gaia.promotion.release.model import Component, Release
from pytest_gaia.rollout.plan import split_images, split_services
from pytest_gaia.verdict.evaluated import EXIT_CODES

HELP = """\
What is released together: images by digest, deploy files, commit, migration head. Its id names everything that follows.

\b
  gaia bundle create --from-env dev        what runs in dev, as it was seen
  gaia bundle show                         those that there are
  gaia bundle verify 3f9a1c --env staging  is it still what runs there?
"""

CREATE_HELP = """\
Make a bundle, and keep it in .gaia/bundles. Nothing is built, pushed or deployed.

\b
  gaia bundle create --image gateway=registry.fly.io/gaia-gateway-dev@sha256:… --image auth=…
  gaia bundle create --from-env dev                     what runs there, observed through its deploy hook
  gaia bundle create --from-env dev --services gateway  only some of it
  gaia bundle create --from-env local --allow-dirty     for trying out: goes no further than dev

The commit and the authors of what is new come from git: they must not approve it. A work tree with changes is refused.
The deploy files of all environments are part of it, and are kept with it, so that a rollback finds them as they were.

\b
Exit codes: 0 made, or there already; 1 what runs in the environment is no one thing; 4 a mistake; 12 the deploy tool
did not answer, or the remote of the ledger is out of reach.
"""

SHOW_HELP = """\
Show a bundle, or all that there are.

\b
  gaia bundle show
  gaia bundle show 3f9a1c
  gaia bundle show 3f9a1c --json | jq -r '.components[].image'
"""

VERIFY_HELP = """\
Look whether a bundle is still what it was made of: its images named by digest, the deploy files of the work tree and
those kept with it unchanged, and with --env what runs there. Nothing is changed.

\b
  gaia bundle verify 3f9a1c
  gaia bundle verify bundle.json --env staging

Exit codes: 0 all the same; 11 something differs (HOLD); 12 what runs could not be observed; 4 a mistake.
"""

app = typer.Typer(name="bundle", help=HELP, no_args_is_help=True)

ReleaseName = Annotated[
    str,
    typer.Argument(metavar="BUNDLE", help="The beginning of its id, or a file that holds one.", show_default=False),
]


@app.command("create", help=CREATE_HELP)
def create_release(
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="SERVICE=REF@sha256:…", help="The image of one service; repeatable."),
    ] = None,
    from_env: Annotated[
        str | None,
        environment_option("Take the images that run there; --image goes before one of them.", "--from-env"),
    ] = None,
    services: Services = None,
    migration_head: Annotated[
        str | None,
        typer.Option(help="The migration that the database has to be at; without it, the newest of the project's."),
    ] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Take a work tree with changes; the bundle is a local one then.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Collect the images, make the bundle, keep it."""
    # What looks at an environment is loaded by those alone who look.
    promotion = Promotion.here()
    images, only_here = _images(promotion, image, from_env, services)
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
    first = next((name for name, stage in promotion.stages.items() if stage.previous is None), "local")
    typer.echo(f"kept in {releases.FOLDER}/{release.id}.json\nnext: gaia promote {first} --bundle {release.short}")


@app.command("show", help=SHOW_HELP)
def show_one_or_all(
    release: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE]", help="The beginning of its id, or a file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one bundle, or list all."""
    promotion = Promotion.here()
    if release is None:
        kept = releases.all_releases(promotion.rootdir)
        if as_json:
            echo_json([release_json(each) for each in kept])
        else:
            show_releases(kept)
        return
    found = promotion.release(release)
    if as_json:
        echo_json(release_json(found))
    else:
        show_release(found)


@app.command("verify", help=VERIFY_HELP)
def verify_release(
    release: ReleaseName,
    env: Annotated[str | None, environment_option("Compare what runs there too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare, and end with what it comes to."""
    promotion = Promotion.here()
    found = promotion.release(release)
    checks = [*_at_rest(promotion, found), *(_running(promotion, found, env) if env else ())]
    code, sentence = verdict_of(found, checks)
    if as_json:
        same = code == 0
        echo_json({"id": found.id, "same": same, "exit_code": code, "checks": checks})
    else:
        show_table(("what", "is", ""), [(each.what, each.status, each.reason) for each in checks])
        typer.echo(sentence)
    raise typer.Exit(code)


def _images(
    promotion: Promotion, given: list[str] | None, from_env: str | None, services: list[str] | None
) -> tuple[Iterable[Component], bool]:
    """Return the images that are ``given``, with what runs in an environment for the others, and whether that is local."""
    named = {part.service: part for part in named_images(split_images(given, (), "--image"), promotion.deployed())}
    observed, only_here = _observed(promotion, from_env, services, named)
    return (observed | named).values(), only_here


def _observed(
    promotion: Promotion, name: str | None, services: list[str] | None, named: dict[str, Component]
) -> tuple[dict[str, Component], bool]:
    """Return what runs in the environment ``name``, and whether its images are on this machine alone."""
    if name is None:
        if services:
            raise ConfigError("--services chooses among what runs in an environment; add --from-env ENV.")
        return {}, False
    environment = resolve(options_here(name, project=promotion.project))
    sights = look(environment, promotion.rootdir, split_services(services))
    wanted = [sight for sight in sights if sight.service not in named]
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
    """Yield whether suites, settings and keys are those of the bundle's commit; of a dirty bundle nobody can tell."""
    what = f"commit {release.commit[:12]}"
    if release.commit.endswith(DIRTY):
        yield Comparison(what, "left out", "made of a work tree with changes")
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
        raise ConfigError(f"--output {path}: cannot be written: {error.strerror}.") from None


_COMMIT = 10
"""digits of a commit that people are shown"""


def release_json(release: Release) -> dict[str, Any]:
    """Return ``bundle`` as plain values, its id first."""
    values: dict[str, Any] = msgspec.to_builtins(release)
    return {"id": release.id, "short": release.short, **values}


def show_release(release: Release) -> None:
    """Write all of one bundle."""
    typer.echo(f"bundle {release.short} ({release.kind}) of commit {_commit(release.commit)}, made {release.created}")
    typer.echo(f"  id          {release.id}")
    typer.echo(f"  migrations  {release.migration_head or 'none'}")
    typer.echo(f"  authors     {', '.join(release.authors)} (cannot approve it)")
    typer.echo(f"  files       {', '.join(sorted(release.configs)) or 'none'}")
    show_table(("service", "image"), [(part.service, part.image) for part in sorted(release.components)])


def show_releases(releases: Sequence[Release]) -> None:
    """Write one line a bundle, the newest first."""
    if not releases:
        typer.echo("there is no bundle yet; make one: gaia bundle create --help", err=True)
        return
    rows = [
        (each.short, each.created, each.kind, _commit(each.commit), ", ".join(sorted(each.digests)))
        for each in reversed(releases)
    ]
    show_table(("bundle", "made", "kind", "commit", "services"), rows)


def verdict_of(release: Release, checks: Sequence[Comparison]) -> tuple[int, str]:
    """Return the exit code of a comparison, and a sentence with what to do."""
    different = [each.what for each in checks if each.status == "differs"]
    unknown = [each.what for each in checks if each.status == "unknown"]
    if different:
        what = f"{len(different)} of {len(checks)} differ: what there is now is not bundle {release.short}"
        return EXIT_CODES["HOLD"], f"{what}. Make a bundle of it (gaia bundle create), or bring this one back."
    if unknown:
        return EnvironmentUnavailable.exit_code, f"could not be observed: {', '.join(unknown)}. Try again."
    return 0, f"bundle {release.short} is what it was made of"


def _commit(commit: str) -> str:
    """Return a commit short, and yet with what makes it more than one."""
    digits, dash, end = commit.partition("-")
    return digits[:_COMMIT] + dash + end
