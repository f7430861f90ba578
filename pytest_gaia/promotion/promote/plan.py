"""What a promotion is going to do, after everything was looked at that can be known before, and what is seen to run."""

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
from pytest_gaia.expectations.expectation_set import ExpectationSet
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.files.writing import make_folder
from pytest_gaia.promotion.gate.check import Check, passed, pending
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.ledger._dsse import Signer
from pytest_gaia.promotion.ledger.stores import FolderStore
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import Commands, added_paths, check_environ
from pytest_gaia.promotion.promote.signers import signers_for
from pytest_gaia.promotion.release import commits
from pytest_gaia.promotion.release.commits import committed
from pytest_gaia.promotion.release.comparison import deploy_files, differences
from pytest_gaia.promotion.release.images import look
from pytest_gaia.promotion.release.making import DIRTY, beside
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """A promotion that may begin: everything that can be known before was looked at."""

    promotion: Promotion
    environment: Environment
    release: Release
    pre_deploy: Gate
    services: tuple[str, ...]
    deploys: bool
    commands: Commands
    expectations: ExpectationSet
    """of the suites, as they were before any code of the project ran"""
    tolerance: Tolerance
    """of the environment, likewise"""
    strays: dict[str, str]
    """what a run reads and the release's commit does not hold so: file → how; of a dirty release it is no reason to refuse"""
    signers: list[Signer] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """The environment."""
        return self.environment.name

    @property
    def hook(self) -> str:
        """What is asked what runs there."""
        return self.environment.deploy.hook if self.environment.deploy else ""


def plan_promotion(
    promotion: Promotion, name: str, release: Release, extra: Sequence[str], *, signing: bool = True
) -> Plan:
    """Look at everything that can be known before anything is done; nothing is changed.

    Without ``signing`` it is going to run tests and write nothing into the ledger, and the key must not be at hand.

    Raises ``ConfigError``: an unknown environment, one that cannot be observed, no suites, options that are not for a
    promotion, a key that is asked for and missing, not trusted or out of force, a ledger that cannot be written.
    """
    given = [each for each in (KEY_VARIABLE, KEY_FILE_VARIABLE) if promotion.environ.get(each)]
    if given and not signing:
        raise ConfigError(
            f"{given[0]} is set, but --only run must not have the signing key, which tests could read. Unset the variable; "
            "`--only evidence` signs afterwards. Nothing was deployed."
        )
    situation = promotion.situation(name, release)
    environment, deploys = environment_of(promotion, name)
    environment = _as_committed(environment, promotion, release)
    services = promotion.services(name, release)
    check_environ(promotion.environ, promotion.rootdir)
    commands = Commands.of(promotion.project, name, release, services if deploys else (), extra)
    signers = signers_for(promotion, name) if signing else []
    tolerances = promotion.project.tolerances
    expectations = load(folders_of(promotion.project.suites), tolerances, rootdir=promotion.rootdir)
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
    )


def strays_of(promotion: Promotion, release: Release) -> dict[str, str]:
    """Return what of suites, settings, rules and keys is not as in the release's commit, as :func:`commits.strays` does."""
    rootdir = promotion.rootdir
    folders = [os.path.relpath(folder, rootdir) for folder in promotion.project.suites]
    if (rootdir / promotion.settings.keys).is_dir():
        folders.append(promotion.settings.keys)
    folders += [each for each in added_paths(promotion.environ, rootdir) if (rootdir / each).is_dir()]
    return commits.strays(rootdir, release.commit.removesuffix(DIRTY), beside=beside(promotion), folders=folders)


def _as_committed(environment: Environment, promotion: Promotion, release: Release) -> Environment:
    """Return ``environment`` without ``loopback = true`` if the release's commit has other settings."""
    if not environment.loopback:
        return environment
    path = promotion.project.path
    theirs = committed(promotion.rootdir, release.commit.removesuffix(DIRTY), path.name) if path else None
    is_same = theirs is not None and theirs.removeprefix("\ufeff") == promotion.project.text
    return replace(environment, loopback=is_same)


def _own_addresses(environment: Environment) -> Check:
    """Return whether what is going to be tested is known as the environment; the run's record is asked again afterwards."""
    wrong = misplaced(environment)
    at = ", ".join(f"{service} at {address}" for service, address in environment.addresses.items())
    finding = (
        pending("; ".join(wrong), f"gaia env show {environment.name}")
        if wrong
        else passed(f"{at}{' (loopback = true)' if environment.loopback else ''}")
    )
    return Check("own-addresses", "Tested at its own addresses", "pre-deploy", finding)


def changed_files(plan: Plan) -> tuple[str, ...]:
    """Return the files that are not those of the release, each with how it differs: deploy files, and what a run reads."""
    found = deploy_files(plan.promotion.project.deploy_folder)
    deployed = dict(differences(plan.release.configs, found))
    strays = {} if plan.release.commit.endswith(DIRTY) else plan.strays
    named = {name: how for name, how in strays.items() if PurePosixPath(name).name not in deployed}
    return tuple(f"{name} {how}" for name, how in (deployed | named).items())


def check_writable(plan: Plan) -> None:
    """Raise ``ConfigError`` where the ledger could not take the evidence: better now than after the deployment."""
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
    """Return the environment as it can be observed, and whether a promotion deploys it.

    One without deploy settings is not deployed. If all of its addresses are on this machine, Docker Compose is asked
    what runs; raises ``ConfigError`` for any other: nobody could say that what was tested is the release.
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
    """Return service → digest of every one of ``services`` that was seen to run one image; others are left out."""
    found = {}
    for each in look(environment, rootdir, services):
        seen = each.observation
        # A machine that does not say what it runs could run anything.
        if seen is not None and all(machine.digest for machine in seen.machines) and len(digests(seen)) == 1:
            (found[each.service],) = digests(seen)
    return found


def _here(environment: Environment) -> bool:
    return bool(environment.urls) and all(is_loopback(host_of(url)) for url in environment.urls.values())
