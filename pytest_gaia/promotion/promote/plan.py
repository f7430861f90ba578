"""The plan of a promotion, with all checks that are possible before any change, and observation of running images."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from pytest_gaia.config.addresses import host_of, is_loopback
from pytest_gaia.config.deployfiles.read import compose_file
from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.config.ownership import misplaced
from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.deploy.outcome import digests
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.expectation import ExpectationSet
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.gate.check import Check, passed, pending
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.ledger._signatures import Signer
from pytest_gaia.promotion.ledger.statements import sha256_of
from pytest_gaia.promotion.ledger.stores import FolderStore
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import WHOLE, Commands, Part, added_paths, check_environ
from pytest_gaia.promotion.promote.signing import signers_for
from pytest_gaia.promotion.release import commits
from pytest_gaia.promotion.release.commits import committed
from pytest_gaia.promotion.release.comparison import deploy_files, differences, look
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.promotion.release.making import beside
from pytest_gaia.system.processes import DIRTY, KEY_FILE_VARIABLE, KEY_VARIABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """A promotion that passed all checks that are possible before it starts."""

    promotion: Promotion
    environment: Environment
    release: Release
    pre_deploy: Gate
    services: tuple[str, ...]
    deploys: bool
    commands: Commands
    expectations: ExpectationSet
    """expectations of the suites, read before any code of the project runs"""
    tolerance: Tolerance
    """tolerance of the environment, read at the same time"""
    strays: dict[str, str]
    """file → difference from the commit of the release; for a dirty release this is no reason to refuse"""
    signers: list[Signer] = field(default_factory=list, repr=False)
    part: Part = WHOLE

    @property
    def name(self) -> str:
        """The environment."""
        return self.environment.name

    @property
    def hook(self) -> str:
        """The deploy hook that observes the environment; empty without one."""
        return self.environment.deploy.hook if self.environment.deploy else ""


def plan_promotion(
    promotion: Promotion,
    name: str,
    release: Release,
    extra: Sequence[str],
    part: Part = WHOLE,
) -> Plan:
    """Perform all checks that are possible before a change, and return the plan; nothing is changed.

    A ``part`` that runs code of the project and writes nothing to the ledger refuses a signing key.

    Raises ``ConfigError`` for an unknown environment, an environment that cannot be observed, missing suites, an option
    that is not allowed, a required key that is missing, untrusted or expired, and a ledger that cannot be written.
    """
    given = [each for each in (KEY_VARIABLE, KEY_FILE_VARIABLE) if promotion.environ.get(each)]
    if given and not part.signs:
        raise ConfigError(
            f"{given[0]} is set, but --only {part.only} must not have the signing key, which tests could read. Unset the "
            "variable; `--only evidence` signs afterwards. Nothing was deployed."
        )
    situation = promotion.situation(name, release)
    environment, deploys = environment_of(promotion, name)
    environment = _as_committed(environment, promotion, release)
    services = promotion.services(name, release)
    check_environ(promotion.environ, promotion.rootdir)
    commands = Commands.of(promotion.project, name, release, services if deploys else (), extra, part)
    signers = signers_for(promotion, name) if part.signs else []
    tolerances = promotion.project.tolerances
    project = promotion.project
    expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=promotion.rootdir)
    pre_deploy = evaluate(situation, only="pre-deploy", also=[_own_addresses(environment)])
    strays = strays_of(promotion, release)
    return Plan(
        promotion,
        environment,
        release,
        pre_deploy,
        services,
        deploys,
        commands,
        expectations,
        tolerances[name],
        strays,
        signers,
        part,
    )


def strays_of(promotion: Promotion, release: Release) -> dict[str, str]:
    """Return the suites, settings, expectations and keys that differ from the commit, as :func:`commits.strays` does."""
    rootdir = promotion.rootdir
    folders = [os.path.relpath(folder, rootdir) for folder in promotion.project.suites]
    if (rootdir / promotion.settings.keys).is_dir():
        folders.append(promotion.settings.keys)
    folders += [each for each in added_paths(promotion.environ, rootdir) if (rootdir / each).is_dir()]
    return commits.strays(rootdir, release.commit.removesuffix(DIRTY), beside=beside(promotion), folders=folders)


def changed_since(plan: Plan) -> tuple[str, ...]:
    """Return the suites, settings, expectations and keys that changed since ``plan`` was made."""
    now, before = strays_of(plan.promotion, plan.release), plan.strays
    return tuple(sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name)))


def digests_in(folder: Path, *names: str) -> dict[str, str]:
    """Return file → SHA-256 for those of ``names`` that exist."""
    return {name: sha256_of((folder / name).read_bytes()) for name in names if (folder / name).is_file()}


def _as_committed(environment: Environment, promotion: Promotion, release: Release) -> Environment:
    """Return ``environment`` without ``loopback = true`` if the commit of the release has other settings."""
    if not environment.loopback:
        return environment
    path = promotion.project.path
    theirs = committed(promotion.rootdir, release.commit.removesuffix(DIRTY), path.name) if path else None
    is_same = theirs is not None and theirs.removeprefix("\ufeff") == promotion.project.text
    return replace(environment, loopback=is_same)


def _own_addresses(environment: Environment) -> Check:
    """Return a check that the addresses belong to the environment. It is repeated with the results log of the run."""
    wrong = misplaced(environment)
    at = ", ".join(f"{service} at {address}" for service, address in environment.addresses.items())
    finding = (
        pending("; ".join(wrong), f"gaia env show {environment.name}")
        if wrong
        else passed(f"{at}{' (loopback = true)' if environment.loopback else ''}")
    )
    return Check("own-addresses", "Tested at its own addresses", "pre-deploy", finding)


def changed_files(plan: Plan) -> tuple[str, ...]:
    """Return the files that differ from the release, with the difference: deploy files, and files that a run reads."""
    found = deploy_files(plan.promotion.project.deploy_folder)
    deployed = dict(differences(plan.release.configs, found))
    strays = {} if plan.release.commit.endswith(DIRTY) else plan.strays
    named = {name: how for name, how in strays.items() if PurePosixPath(name).name not in deployed}
    return tuple(f"{name} {how}" for name, how in (deployed | named).items())


def check_writable(plan: Plan) -> None:
    """Raise ``ConfigError`` if the ledger is not writable, before anything is deployed."""
    store = plan.promotion.ledger.store
    if not isinstance(store, FolderStore):
        return
    probe = store.folder / f".{secrets.token_hex(4)}.draft"
    try:
        make_folder(store.folder)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"{store.name}: the ledger cannot be written: {error.strerror}. Nothing was deployed."
        ) from None


def environment_of(promotion: Promotion, name: str) -> tuple[Environment, bool]:
    """Return the environment with a way to observe it, and whether a promotion deploys it.

    An environment without deploy settings is not deployed. If all its addresses are on this machine, Docker Compose
    reports its images. Otherwise ``ConfigError`` is raised, because the tested images would be unknown.
    """
    environment = promotion.resolve(name)
    if environment.deploy is not None:
        return environment, True
    if _here(environment) and compose_file(promotion.project.deploy_folder.path) is not None:
        return replace(environment, deploy=DeploySettings("compose")), False
    raise ConfigError(
        f"{name}: no deploy tool is configured, so gaia cannot tell whether the release runs there. Set [env.{name}] from "
        f'= "fly" or "compose", or [env.{name}.deploy] hook = … in gaia.toml. Nothing was deployed.'
    )


def observed(environment: Environment, rootdir: Path, services: Sequence[str]) -> dict[str, str]:
    """Return service → digest for each of ``services`` that runs exactly one image; others are omitted."""
    found = {}
    for each in look(environment, rootdir, services):
        seen = each.observation
        # A machine that does not report its image could run anything.
        if seen is not None and all(machine.digest for machine in seen.machines) and len(digests(seen)) == 1:
            (found[each.service],) = digests(seen)
    return found


def _here(environment: Environment) -> bool:
    return bool(environment.urls) and all(is_loopback(host_of(url)) for url in environment.urls.values())
