"""What every command of a promotion begins with: the project, its stages, its ledger, its releases, its lock, its keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.platform import in_order
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.stages import LedgerSettings, Stage
from pytest_gaia.errors import ConfigError, GaiaError, NotConfigured, nearest
from pytest_gaia.promotion.gate._outside import done_here
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger._git_reference import GitReference
from pytest_gaia.promotion.ledger.keys import SigningKey, signing_key, trusted_keys
from pytest_gaia.promotion.ledger.ledger import Entry, Ledger
from pytest_gaia.promotion.ledger.lock import FilePlace, GitPlace, Lock
from pytest_gaia.promotion.ledger.stores import FolderStore, GitStore
from pytest_gaia.promotion.release import kept as releases
from pytest_gaia.promotion.release.kept import REFERENCE as RELEASES
from pytest_gaia.promotion.release.kept import bring_releases, share_release
from pytest_gaia.promotion.release.model import Release

LOCKS = ".gaia/locks"
LOCK_REFERENCE = "refs/gaia/locks"


@dataclass(frozen=True, slots=True)
class Promotion:
    """The project as promotions see it."""

    project: Project
    ledger: Ledger
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def here(cls, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Promotion:
        """Return the project around ``cwd``, or around the current folder; nothing is made.

        Raises ``ConfigError`` for a mistake in gaia.toml or in the file of a trusted key.
        """
        return cls.of(Project.around(cwd or Path.cwd()), environ)

    @classmethod
    def of(cls, project: Project, environ: Mapping[str, str] | None = None) -> Promotion:
        """Return ``project`` as promotions see it. Raises ``ConfigError`` as :meth:`here` does."""
        ledger = open_ledger(project.ledger, project.rootdir)
        return cls(project, ledger, os.environ if environ is None else environ)

    @property
    def rootdir(self) -> Path:
        """The folder of gaia.toml."""
        return self.project.rootdir

    @property
    def settings(self) -> LedgerSettings:
        """Where the ledger is kept."""
        return self.project.ledger

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Environment → stage, of every environment but the sandbox."""
        return self.project.stages

    def configured(self) -> tuple[str, ...]:
        """Return the stages that the project configures; one with an error in its settings counts."""
        return tuple(name for name in self.stages if self._is_configured(name))

    def resolve(self, name: str, environ: Mapping[str, str] | None = None) -> Environment:
        """Return the environment ``name``, by the variables of this process or by ``environ``."""
        variables = self.environ if environ is None else environ
        return resolve(Options(project=self.project, environ=variables, env=name))

    def stage(self, environment: str) -> Stage:
        """Return what promotes a release into ``environment``, with the services that are deployed there.

        Raises ``ConfigError`` for an unknown one, and for deploy files that do not say which services those are.
        """
        if environment not in self.stages:
            raise self._unknown(environment)
        stage = self.stages[environment]
        return replace(stage, services=self._deployed(environment)) if stage.services is None else stage

    def deployed(self) -> tuple[str, ...]:
        """Return every service that is deployed to any environment; one whose deploy files are wrong adds none."""
        found: dict[str, None] = {}
        for environment in self.stages:
            # Another environment's mistake is no reason to refuse what this one needs.
            with suppress(GaiaError):
                found |= dict.fromkeys(self.stage(environment).services or ())
        return tuple(found)

    def services(self, environment: str, release: Release) -> tuple[str, ...]:
        """Return the services of ``release`` that ``environment`` runs, in the order in which they are deployed."""
        services = self.stage(environment).services
        return in_order(each for each in release.digests if services is None or each in services)

    def release(self, prefix: str) -> Release:
        """Return the release of the project whose id begins with ``prefix``; ``ConfigError`` names those there are.

        Where the ledger is in git, one that is not kept here yet is looked for beside it, and kept.
        """
        try:
            return releases.find_release(self.rootdir, prefix)
        except ConfigError:
            if self.settings.git is None or releases.is_file(prefix):
                raise
            self.bring_releases()
            return releases.find_release(self.rootdir, prefix)

    def share(self, release: Release, files: Mapping[str, bytes]) -> None:
        """Put a release and its deploy files where other machines find them: beside a ledger that is in git."""
        if self.settings.git is not None:
            share_release(self._shared_releases(), release, files)

    def bring_releases(self) -> None:
        """Keep here the releases that others have made, where the ledger is in git."""
        if self.settings.git is not None:
            bring_releases(self._shared_releases(), self.rootdir)

    def _shared_releases(self) -> GitReference:
        return GitReference(self.rootdir, RELEASES, self.settings.remote)

    def signers(self) -> list[SigningKey]:
        """Return the key that signs here, if there is one. Raises ``ConfigError`` for one that cannot be read."""
        key = signing_key(self.environ)
        return [key] if key else []

    def situation(
        self, environment: str, release: Release, now: datetime | None = None, entries: tuple[Entry, ...] | None = None
    ) -> Situation:
        """Return what the gate of ``environment`` decides from about ``release``; ``entries`` are the ledger's, if read."""
        stage, moment = self.stage(environment), now or datetime.now(UTC)
        found = self.ledger.entries() if entries is None else entries
        here = done_here(self.rootdir, (environment, *([stage.previous] if stage.previous else [])))
        return Situation(environment, stage, release, found, moment, here=here)

    def lock(self, environment: str, holder: str) -> Lock:
        """Return the lock of ``environment``, not yet taken: shared as the ledger is."""
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

    def _deployed(self, name: str) -> tuple[str, ...] | None:
        """Return the services that ``gaia deploy`` deploys to ``name``; None where it is not deployed from here."""
        # Those who only look at releases and entries do without what plans a deployment.
        from pytest_gaia.rollout.plan import apps_of, choose

        try:
            environment = self.resolve(name, {})
        except NotConfigured:
            # What shows that a release ran there, if anything does, is in the ledger, and has to be for all of it.
            return None
        if environment.deploy is None:
            return None
        files = environment.deployment
        return choose(environment, files, apps_of(files), ())


def open_ledger(settings: LedgerSettings, rootdir: Path) -> Ledger:
    """Return the ledger of the project at ``rootdir``, read with the keys that it trusts; nothing is made."""
    keys = trusted_keys(rootdir / settings.keys)
    if settings.git is not None:
        return Ledger(GitStore(GitReference(rootdir, settings.git, settings.remote)), keys)
    return Ledger(FolderStore(rootdir / settings.path, settings.path), keys)
