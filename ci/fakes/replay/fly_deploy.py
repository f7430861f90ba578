"""``fly deploy``: create a release, and update machines one by one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .digests import digest_of
from .flags import DURATION
from .fly_errors import ToolError, lease_held
from .fly_machines import ASLEEP, crash, groups, launched, new_machine, served, settle, show_checks
from .fly_shapes import REGISTRY, RELEASE_COMMAND, Json, seeded_release, tag_of

if TYPE_CHECKING:
    from . import faults
    from .fly_call import Call


def deploy(call: Call) -> None:
    """Run ``fly deploy``. The state is unlocked between steps, so that other calls observe an unfinished deployment."""
    file, text = _config(call)
    _check_durations(call)
    with call.store.change() as state:
        app = call.app(state)
        if call.line.get("build-only"):
            call.say(f"image found: {_image(call, state, app, file, text)['reference']}")
            return
        image = _image(call, state, app, file, text)
        entry = _release(call, app, image)
        call.say(f"\nWatch your deployment at https://fly.io/apps/{app['name']}/monitoring\n")
        app["config"] = file
        _release_command(call, state, app, file, image, entry)
        if call.fault(state, "lease-held") or _is_alive(app.get("leased_by")):
            entry["status"] = "failed"
            raise lease_held(_first_id(app), deploying=True)
        app["leased_by"] = os.getpid()
        _first_machines(call, app, file)
        identities = sorted(each["id"] for each in app["machines"] if launched(each))
    Rollout(call, file, image, entry, identities).run()


def _config(call: Call) -> tuple[Json, str]:
    path = Path(call.line.get("config") or "fly.toml")
    if not path.exists():
        if call.line.get("config"):
            raise ToolError(f"failed loading app config from {path}: open {path}: no such file or directory")
        deployed = call.app(call.store.read()).get("config", {})
        return deployed, json.dumps(deployed)
    text = path.read_text(encoding="utf-8")
    import tomllib

    try:
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text), text
    except ValueError as error:
        raise ToolError(f"failed loading app config from {path}: toml: {error}") from None


def _check_durations(call: Call) -> None:
    for name in ("wait-timeout", "release-command-timeout"):
        value = call.line.get(name, "none")
        if value != "none" and not value.isdecimal() and not DURATION.match(value):
            valid = "a number of seconds, number with time unit (i.e.: 5m, 180s) or 'none'"
            raise ToolError(f"invalid duration value {value} used for --{name} flag: valid options are {valid}")


def _first_id(app: Json) -> str:
    return next((each["id"] for each in app["machines"] if launched(each)), "0")


def _is_alive(process: int | None) -> bool:
    """Return whether the process of another deployment still runs and holds the leases."""
    if process is None:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _image(call: Call, state: dict[str, Any], app: Json, file: Json, text: str) -> Json:
    reference = call.line.get("image") or file.get("build", {}).get("image")
    if reference:
        return _found(call, state, reference)
    if call.line.get("no-cache"):
        app["builds"] = app.get("builds", 0) + 1
    source = state.get("source", "v1")
    digest = digest_of("build", app["name"], text, source, str(app.get("builds", 0)))
    number = app["releases"][-1]["version"] + 1 if app["releases"] else 1
    reference = f"{REGISTRY}/{app['name']}:{tag_of(app['name'], number, digest)}"
    call.note("==> Verifying app config\n--> Verified app config\n==> Building image\n--> Building image done")
    call.note(f"image: {reference}\nimage size: 181 MB")
    state.setdefault("images", {})[reference] = digest
    return {"reference": reference, "digest": digest}


def _found(call: Call, state: dict[str, Any], reference: str) -> Json:
    call.note(f"Searching for image '{reference}' remotely...")
    digest = reference.partition("@")[2] or state.get("images", {}).get(reference)
    gone = call.fault(state, "image-gone")
    if gone or (not digest and reference.startswith(f"{REGISTRY}/")):
        raise ToolError(
            f'failed to fetch an image or build from source: could not find image "{reference}"',
        )
    call.note("image found: img_" + digest_of(reference)[7:23])
    return {"reference": reference, "digest": digest or digest_of("pulled", reference)}


def _release(call: Call, app: Json, image: Json) -> Json:
    number = app["releases"][-1]["version"] + 1 if app["releases"] else 1
    entry = seeded_release(app["name"], number, image["reference"])
    entry |= {"status": "running", "strategy": call.line.get("strategy") or "rolling"}
    app["releases"].append(entry)
    return entry


def _release_command(call: Call, state: dict[str, Any], app: Json, file: Json, image: Json, entry: Json) -> None:
    command = file.get("deploy", {}).get("release_command")
    fails = call.fault(state, "release-command-fails")
    if not (command or fails) or call.line.get("skip-release-command"):
        return
    runner = next((each for each in app["machines"] if each["group"] == RELEASE_COMMAND), None)
    runner = runner or new_machine(app, file, group=RELEASE_COMMAND)
    settle(runner, file, image, entry, state="destroyed")
    call.note(f"Running {app['name']} release_command: {command or 'migrate'}")
    if not fails:
        call.note(f"  release_command {runner['id']} completed successfully")
        return
    runner["state"] = "stopped"
    crash(runner, code=1, for_want_of_memory=False)
    entry["status"] = "failed"
    call.note(f"Error release_command failed running on machine {runner['id']} with exit code 1.")
    call.note("\n".join(["Checking logs: fetching the last 100 lines below:", *app["logs"]]))
    why = f"machine {runner['id']} exited with non-zero status of 1"
    raise ToolError(f"release command failed - aborting deployment. {why}")


def _first_machines(call: Call, app: Json, file: Json) -> None:
    """Launch missing machines of process groups, and destroy those of removed groups."""
    wanted = groups(file)
    for each in [each for each in app["machines"] if launched(each) and each["group"] not in wanted]:
        call.say(f"Destroyed {each['id']} group:{each['group']}")
        app["machines"].remove(each)
    there = {each["group"] for each in app["machines"] if launched(each)}
    region = call.line.get("primary-region") or call.line.get("region")
    for group in wanted:
        if group in there:
            continue
        call.say(f"No machines in group {group}, launching a new machine")
        first = new_machine(app, file, group=group, region=region)
        if not call.line.get("ha", True) or file.get("mounts"):
            continue
        if not served(file, group):
            call.say(f"Creating a standby machine for {first['id']}")
            new_machine(app, file, group=group, region=region).update(state="stopped", standbys=[first["id"]])
        else:
            call.say("Creating a second machine for high availability and zero downtime deployments.")
            new_machine(app, file, group=group, region=region)


class Rollout:
    """The machines of one deployment, in order."""

    def __init__(self, call: Call, file: Json, image: Json, entry: Json, identities: list[str]) -> None:
        self.call, self.file, self.image, self.entry, self.identities = call, file, image, entry, identities

    def run(self) -> None:
        """Update every machine, apply faults, and write the final status of the release."""
        try:
            self._machines()
        except BaseException as error:
            self._end("interrupted" if not isinstance(error, ToolError) else "failed")
            raise
        self._end("complete")
        with self.call.store.change() as state:
            if self.call.fault(state, "tool-error-after-success"):
                raise ToolError("operation error S3: ListObjectsV2, https response error StatusCode: 503, SlowDown")
        if os.environ.get("FLY_EMIT_RELEASE_JSON") == "1":
            ref = {"id": self.entry["id"], "version": self.entry["version"], "image_ref": self.image["reference"]}
            self.call.say(json.dumps(ref, separators=(",", ":")))
        self.call.say(f"\nVisit your newly deployed app at https://{self.call.name}.fly.dev/")

    def _machines(self) -> None:
        self.call.say(f"Updating existing machines in '{self.call.name}' with {self.entry['strategy']} strategy")
        with self.call.store.change() as state:
            phantom = self.call.fault(state, "phantom")
            split = self.call.fault(state, "split")
            reverting = self.call.fault(state, "reverting")
            if split and len(self.identities) < 2:
                self._twin(state)
        for index, identity in enumerate(self.identities):
            if index == len(self.identities) - 1:
                self.call.linger()
            if split and index == len(self.identities) - 1:
                why = "could not reserve resource for machine: insufficient memory available to fulfill request"
                raise ToolError(f"failed to update VM {identity}: {why}")
            with self.call.store.change() as state:
                machine = self._machine(state, identity)
                if not phantom:
                    self._update(state, machine, reverting)
                elif not machine["image_ref"]:
                    settle(machine, self.file, self.image, self.entry, state="launch_failed")
            self.call.say(f" ✔ Machine {identity} [{machine['group']}] update succeeded")

    def _twin(self, state: dict[str, Any]) -> None:
        app = self.call.app(state)
        first = self._machine(state, self.identities[0])
        twin = new_machine(app, self.file)
        twin |= {
            key: json.loads(json.dumps(first[key]))
            for key in ("state", "image_ref", "config", "checks", "region", "group")
        }
        self.identities.append(twin["id"])

    def _machine(self, state: dict[str, Any], identity: str) -> Json:
        return next(each for each in self.call.app(state)["machines"] if each["id"] == identity)

    def _update(self, state: dict[str, Any], machine: Json, reverting: faults.Fault | None) -> None:
        before = {key: machine[key] for key in ("image_ref", "config", "checks", "instance_id", "version")}
        asleep = machine["state"] in ASLEEP
        settle(machine, self.file, self.image, self.entry, state=machine["state"] if asleep else "started")
        if reverting:
            machine["revert"] = {"after": int(reverting.number or 1), "to": json.loads(json.dumps(before))}
        self._sicken(state, machine)

    def _sicken(self, state: dict[str, Any], machine: Json) -> None:
        identity = machine["id"]
        waits = self.entry["strategy"] != "immediate" and not self.call.line.get("detach")
        if self.call.fault(state, "oom"):
            crash(machine, code=137, for_want_of_memory=True)
            if not waits:
                return
            why = f"moke checks for {identity} failed: the app appears to be crashing"
            below = f"Check its logs: here's the last lines below, or run 'fly logs -i {identity}':"
            raise ToolError(f"s{why}", hint="\n".join([f"S{why}", below, *self.call.app(state)["logs"]]))
        if self.call.fault(state, "unhealthy"):
            show_checks(machine, "critical", "500 Internal Server Error")
            if waits:
                raise ToolError(
                    f"timeout reached waiting for health checks to pass for machine {identity}: failed to get VM "
                    f"{identity}: context deadline exceeded"
                )

    def _end(self, status: str) -> None:
        with self.call.store.change() as state:
            app = self.call.app(state)
            app["leased_by"] = None
            for each in app["releases"]:
                if each["id"] == self.entry["id"]:
                    each["status"] = status
