"""The JSON of flyctl: names of Go for GraphQL types, snake_case for types of the Machines API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .digests import digest_of

REGISTRY = "registry.fly.io"
RELEASE_COMMAND = "fly_app_release_command"
LAUNCHED = "v2"
"""``fly_platform_version`` of machines that ``fly deploy`` manages"""
Json = dict[str, Any]


def now() -> str:
    """Return the time in the format of the API."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds() -> int:
    """Return the time in the format of events."""
    return int(datetime.now(UTC).timestamp() * 1000)


def machine_id(app: str, number: int) -> str:
    """Return the id of an app's machine, 14 hexadecimal digits like a real one."""
    return digest_of("machine", app, str(number))[7:21]


def tag_of(app: str, release: int, digest: str) -> str:
    """Return a tag like that of a build: ``deployment-`` and 26 letters and digits."""
    return "deployment-01" + digest_of(app, str(release), digest)[7:31].upper()


def image_ref(reference: str, digest: str) -> Json:
    """Return a machine's ``image_ref``. ``reference`` is ``registry/repository[:tag][@digest]``."""
    name = reference.partition("@")[0]
    path, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    registry, _, folders = path.partition("/") if "." in path.partition("/")[0] else ("registry-1.docker.io", "", path)
    repository = f"{folders}/{last}" if folders else last
    return {"registry": registry, "repository": repository, "tag": tag, "digest": digest, "labels": {}}


def organization(slug: str) -> Json:
    """Return the organization in the format of GraphQL."""
    return {
        "ID": digest_of("org", slug)[7:21],
        "InternalNumericID": "731",
        "Name": slug.title(),
        "RemoteBuilderImage": "",
        "RemoteBuilderApp": None,
        "Slug": slug,
        "RawSlug": slug,
        "Type": "SHARED",
        "PaidPlan": True,
        "Settings": None,
    }


def app_status(app: Json, shown: list[Json]) -> Json:
    """Return an app as ``fly status --json`` prints it."""
    org = organization(app["org"])
    return {
        "AppURL": "",
        "Deployed": bool(app["releases"]),
        "Hostname": app["hostname"],
        "ID": app["name"],
        "Machines": shown,
        "Name": app["name"],
        "Organization": {key: org[key] for key in ("ID", "InternalNumericID", "Name", "Slug", "RawSlug", "PaidPlan")},
        "PlatformVersion": "machines",
        "Status": status_of(app),
        "Version": app["releases"][-1]["version"] if app["releases"] else 0,
    }


def status_of(app: Json) -> str:
    """Return the status of an app, which does not depend on its health."""
    if not app["releases"]:
        return "pending"
    awake = [machine for machine in app["machines"] if machine["state"] not in ("suspended", "stopped", "destroyed")]
    return "deployed" if awake or not app["machines"] else "suspended"


def release(entry: Json) -> Json:
    """Return one entry of ``fly releases --json``; fields outside the query are empty."""
    return {
        "ID": entry["id"],
        "Version": entry["version"],
        "Stable": entry["status"] == "complete",
        "InProgress": False,
        "Reason": "",
        "Description": entry["description"],
        "Status": entry["status"],
        "DeploymentStrategy": "",
        "Metadata": None,
        "User": {"ID": "", "Name": "", "Email": entry["user"], "EnablePaidHobby": False},
        "EvaluationID": "",
        "CreatedAt": entry["created_at"],
        "ImageRef": entry["image_ref"],
    }


def seeded_release(app: str, number: int, reference: str) -> Json:
    """Return a complete release in the format of the state file."""
    return {
        "id": digest_of("release", app, str(number))[7:27],
        "version": number,
        "status": "complete",
        "description": "Release",
        "user": "ci@gaia.example",
        "created_at": now(),
        "image_ref": reference,
        "strategy": "rolling",
    }


def event(kind: str, status: str, **request: Any) -> Json:
    """Return one event of a machine."""
    entry = {
        "id": digest_of("event", kind, str(milliseconds()))[7:33],
        "type": kind,
        "status": status,
        "source": "flyd" if kind in ("start", "exit") else "user",
        "timestamp": milliseconds(),
    }
    return {**entry, "request": request} if request else entry
