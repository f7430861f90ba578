"""The types of fixtures, for annotations in tests."""

from pytest_gaia.clients.broker.messaging import Messaging as Messaging
from pytest_gaia.clients.database.sessions import Session as Session
from pytest_gaia.clients.http.client import HttpClient as HttpClient
from pytest_gaia.clients.redis import RedisClient as RedisClient
from pytest_gaia.fixtures.declared import Services as Services

__version__: str
