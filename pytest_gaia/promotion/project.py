"""The project as the commands for promotions use it: stages, ledger, releases, locks and keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.stages import LedgerSettings, Stage
from pytest_gaia.errors import ConfigError, GaiaError, NotConfigured, nearest
from pytest_gaia.promotion.gate.settings import settings_of
from pytest_gaia.promotion.gate.situation import Declared, Situation, local_rollouts
from pytest_gaia.promotion.ledger.keys import SigningKey, signing_key, trusted_keys
from pytest_gaia.promotion.ledger.ledger import Entry, Ledger
from pytest_gaia.promotion.ledger.lock import FilePlace, GitPlace, Lock
from pytest_gaia.promotion.ledger.stores import FolderStore, GitReference, GitStore
from pytest_gaia.promotion.release import kept as releases
from pytest_gaia.promotion.release.kept import REFERENCE as RELEASES
from pytest_gaia.promotion.release.kept import Release, bring_releases, share_release

LOCKS = ".gaia/locks"
LOCK_REFERENCE = "refs/gaia/locks"
_BUILT = ("http", "tcp")
"""kinds of services whose images a project builds; servers of the other kinds have images of third parties"""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A project with its ledger, as promotions use it."""

    project: Project
    ledger: Ledger
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def here(cls, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Promotion:
        """Return the project that contains ``cwd`` (by default the current folder); no file is created.

        Raises ``ConfigError`` for an error in gaia.toml or in the file of a trusted key.
        """
        return cls.of(Project.around(cwd or Path.cwd()), environ)

    @classmethod
    def of(cls, project: Project, environ: Mapping[str, str] | None = None) -> Promotion:
        """Return a promotion of ``project``. Raises ``ConfigError`` as :meth:`here` does."""
        ledger = open_ledger(project.ledger, project.rootdir)
        return cls(project, ledger, os.environ if environ is None else environ)

    @property
    def rootdir(self) -> Path:
        """The folder of gaia.toml."""
        return self.project.rootdir

    @property
    def settings(self) -> LedgerSettings:
        """The settings of the ledger."""
        return self.project.ledger

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Environment → stage, for all environments except the sandbox."""
        return self.project.stages

    def configured(self) -> tuple[str, ...]:
        """Return the stages that the project configures; one with an error in its settings counts.

        If files declare environments, others do not count: a URL in ``[services]`` alone gives every one an address.
        """
        from pytest_gaia.config.layers import shipped_file

        file = self.project.file
        declared = {} if file is None else {**shipped_file(file.below).environments, **file.environments}
        return tuple(name for name in self.stages if (name in declared or not declared) and self._is_configured(name))

    def with_role(self, role: str) -> tuple[str, ...]:
        """Return the stages with ``role``, such as ``production``; configured ones first."""
        found = [name for name in self.stages if self.project.role(name) == role]
        # A project with stages of its own leaves the built-in one of the same role unconfigured.
        configured = self.configured() if len(found) > 1 else ()
        return tuple(sorted(found, key=lambda name: name not in configured))

    def resolve(self, name: str, environ: Mapping[str, str] | None = None) -> Environment:
        """Return the environment ``name``, resolved with ``environ`` or the variables of this process."""
        variables = self.environ if environ is None else environ
        return resolve(Options(project=self.project, environ=variables, env=name))

    def stage(self, environment: str) -> Stage:
        """Return the stage of ``environment``, with the services that are deployed there.

        Raises ``ConfigError`` for an unknown environment, and if the deploy files do not define the services.
        """
        if environment not in self.stages:
            raise self._unknown(environment)
        stage = self.stages[environment]
        return replace(stage, services=self._deployed(self._settings(environment))) if stage.services is None else stage

    def deployed(self) -> tuple[str, ...]:
        """Return the services that are deployed to any environment; environments with invalid deploy files are skipped."""
        found: dict[str, None] = {}
        for environment in self.stages:
            # An error in another environment must not block this one.
            with suppress(GaiaError):
                found |= dict.fromkeys(self.stage(environment).services or ())
        return tuple(found)

    def services(self, environment: str, release: Release) -> tuple[str, ...]:
        """Return the services of ``release`` that ``environment`` runs, in the order of deployment."""
        services = self.stage(environment).services
        return self.project.platform.in_order(each for each in release.digests if services is None or each in services)

    def release(self, prefix: str) -> Release:
        """Return the release whose ID begins with ``prefix``. Raises ``ConfigError`` with a list of known releases.

        If the ledger is in git, a release that is missing here is fetched from there.
        """
        try:
            return releases.find_release(self.rootdir, prefix)
        except ConfigError:
            if self.settings.git is None or releases.is_file(prefix):
                raise
            self.bring_releases()
            return releases.find_release(self.rootdir, prefix)

    def share(self, release: Release, files: Mapping[str, bytes]) -> None:
        """Store a release and its deploy files next to the ledger in git, for other machines."""
        if self.settings.git is not None:
            share_release(self._shared_releases(), release, files)

    def bring_releases(self) -> None:
        """Fetch the releases of other machines, if the ledger is in git."""
        if self.settings.git is not None:
            bring_releases(self._shared_releases(), self.rootdir)

    def _shared_releases(self) -> GitReference:
        return GitReference(self.rootdir, RELEASES, self.settings.remote)

    def signers(self) -> list[SigningKey]:
        """Return the configured signing key, if there is one. Raises ``ConfigError`` if it cannot be read."""
        key = signing_key(self.environ)
        return [key] if key else []

    def situation(
        self, environment: str, release: Release, now: datetime | None = None, entries: tuple[Entry, ...] | None = None
    ) -> Situation:
        """Return the evidence on ``release`` for the gate of ``environment``. By default, read ``entries`` of the ledger."""
        stage, moment = self.stage(environment), now or datetime.now(UTC)
        found = self.ledger.entries() if entries is None else entries
        rollouts = local_rollouts(self.rootdir, (environment, *([stage.previous] if stage.previous else [])))
        return Situation(environment, self.declared(environment), stage, release, found, moment, rollouts=rollouts)

    def declared(self, name: str) -> Declared:
        """Return what files declare about the environment ``name``; what variables set does not count.

        Raises ``ConfigError`` for an error in the settings.
        """
        project = self.project
        environment, suites = self._settings(name), _suites(project.suites)
        built = self._with_images(self.stage(name).services or ())
        services, required = (None, ()) if environment is None else (environment.services, environment.required)
        settings = settings_of(project, name, self.ledger.keys)
        return Declared(
            project.role(name), project.platform, services, required, built, suites, tuple(project.stages), settings
        )

    def _with_images(self, services: Iterable[str]) -> tuple[str, ...]:
        platform = self.project.platform
        found = platform.sort(services)
        return tuple(each for each in found if each not in platform or platform[each].kind in _BUILT)

    def lock(self, environment: str, holder: str) -> Lock:
        """Return the lock of ``environment``, not acquired. It is in git if the ledger is."""
        if environment not in self.stages:
            raise self._unknown(environment)
        if self.settings.git is None:
            return Lock(FilePlace(self.rootdir / LOCKS / f"{environment}.json"), environment, holder)
        reference = GitReference(self.rootdir, LOCK_REFERENCE, self.settings.remote)
        return Lock(GitPlace(reference, environment), environment, holder)

    def _is_configured(self, name: str) -> bool:
        try:
            self.resolve(name)
        except NotConfigured:
            return False
        except GaiaError:
            return True
        return True

    def _unknown(self, name: str) -> ConfigError:
        return ConfigError(f"no stage is named {name!r}; {nearest(name, self.stages)}")

    def _settings(self, name: str) -> Environment | None:
        try:
            return self.resolve(name, {})
        except NotConfigured:
            # Only entries of the ledger can show that a release ran there, and then for all of its services.
            return None

    def _deployed(self, environment: Environment | None) -> tuple[str, ...] | None:
        """Return the services that ``gaia deploy`` deploys there; None if gaia does not deploy it."""
        # Imported late, because commands that only read releases and entries do not need it.
        from pytest_gaia.rollout.plan import apps_of, choose

        if environment is None or environment.deploy is None:
            return None
        files = environment.deployment
        return choose(environment, files, apps_of(files), ())


def _suites(roots: Iterable[Path]) -> frozenset[str] | None:
    folders = [folder for root in roots for folder in root.iterdir()]
    return frozenset(each.name for each in folders if each.is_dir()) or None


def open_ledger(settings: LedgerSettings, rootdir: Path) -> Ledger:
    """Return the ledger of the project at ``rootdir`` with its trusted keys; no file is created."""
    keys = trusted_keys(rootdir / settings.keys)
    if settings.git is not None:
        return Ledger(GitStore(GitReference(rootdir, settings.git, settings.remote)), keys)
    return Ledger(FolderStore(rootdir / settings.path, settings.path), keys)
