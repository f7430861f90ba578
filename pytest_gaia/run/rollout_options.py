"""What people write after ``--services`` and ``--image``, and after the options of pytest that mean the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BETWEEN = re.compile(r"[,\s]+")


def split_services(given: Sequence[str] | None, option: str = "--services") -> tuple[str, ...]:
    """Return the services that are named; none where the option was not given. ``ConfigError`` where it names none."""
    if given is None:
        return ()
    names = tuple(name for each in given for name in _BETWEEN.split(each) if name)
    if given and not names:
        raise ConfigError(f"{option} names no service; leave it out, or give names or `all`.")
    return names


def split_images(given: Sequence[str] | None, services: Sequence[str], option: str) -> dict[str, str]:
    """Return service → image of ``SERVICE=IMAGE``; a lone ``IMAGE`` is that of the one service that is named.

    Raises ``ConfigError`` for an image whose service is not said, and for two of one service.
    """
    images: dict[str, str] = {}
    for each in given or ():
        service, equals, image = each.partition("=")
        if not equals:
            service, image = (services[0] if len(services) == 1 else ""), each
        if not service or not image or any(letter.isspace() for letter in each):
            raise ConfigError(
                f"{option} {each!r}: of which service is it the image? Say {option} SERVICE=IMAGE, such as "
                f"{option} auth=registry.fly.io/gaia-auth-dev@sha256:…, or name that one service."
            )
        if service in images:
            raise ConfigError(f"{option} gives {service} two images: {images[service]} and {image}.")
        images[service] = image
    return images
