"""The chat service: conversations as JSON and as server-sent events, and the other routes of the service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pytest_gaia.sandbox._services.app import Request, Service, Stream, encode, naive_now
from pytest_gaia.sandbox._services.auth import Identities
from pytest_gaia.sandbox._services.billing import add_pricing, add_usage
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.figures import RESPONSES, add_canned, canned
from pytest_gaia.sandbox._services.models import Completion, add_models, add_performance, add_providers, complete
from pytest_gaia.sandbox._services.personas import add_personas
from pytest_gaia.sandbox._services.validation import (
    OPTIONAL_BOOLEAN,
    OPTIONAL_STRING,
    STRING,
    Field,
    required_query,
    validated,
)

CHAT_REQUEST = {
    "message": STRING,
    "stream": OPTIONAL_BOOLEAN,
    "provider": Field((str,), "string", optional=True, choices=("claude", "openai", "gemini", "mistral")),
    "activity": OPTIONAL_STRING,
    "persona_id": OPTIONAL_STRING,
    "model": OPTIONAL_STRING,
    "priority": Field((str,), "string", optional=True, choices=("speed", "quality", "balanced", "vr", "cost")),
}

_RELOAD = "POST /api/v0.2/chat/reload-prompt"


def chat_service(identities: Identities, database: Database, *, fixed: bool = False) -> Service:
    """Build the chat service."""
    router = Service("Gaia Chat Service", identities.authenticate)
    histories = Histories()
    # The platform stores streamed messages separately: clearing the history does not delete them.
    streamed = histories if fixed else Histories()
    streaming = Streaming(streamed, fixed=fixed)
    chat = Chat(database, histories, streaming)
    router.add("GET /health", chat.health, open_=True)
    router.add("GET /chat/status", chat.short_status)
    router.add("POST /chat/multi-provider", chat.complete)
    router.add("POST /chat/", chat.complete_plainly)
    # Personas are read from the database at each use, so there is nothing to reload.
    router.add("POST /chat/reload-prompt", canned(RESPONSES["chat"][_RELOAD]))
    router.add("DELETE /chat/history", chat.clear)
    router.add("POST /api/v0.2/chat", chat.complete)
    router.add("GET /api/v0.2/chat/status", chat.status)
    router.add("DELETE /api/v0.2/chat/history", chat.clear)
    add_canned(router, "chat", _RELOAD)
    _add_streaming(router, streaming)
    add_providers(router, fixed=fixed)
    add_models(router, fixed=fixed)
    add_pricing(router, fixed=fixed)
    add_usage(router, fixed=fixed)
    add_personas(router, database, fixed=fixed)
    add_performance(router)
    add_canned(router, "chat", "GET /api/v0.2/", "GET /api/v0.2/health", open_=True)
    return router


class Histories:
    """The messages of each user, in memory: the platform was not observed to write ``chat_messages``."""

    def __init__(self) -> None:
        self._messages: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)

    def add(self, user_id: str, message: str, response: str) -> None:
        """Append a message and its response."""
        self._messages[user_id] += [("user", message), ("assistant", response)]

    def count(self, user_id: str) -> int:
        """Return the number of messages and responses."""
        return len(self._messages[user_id])

    def clear(self, user_id: str) -> None:
        """Delete the messages of one user."""
        self._messages.pop(user_id, None)


class Chat:
    """The handlers of plain conversations."""

    def __init__(self, database: Database, histories: Histories, streaming: Streaming) -> None:
        self._database = database
        self._histories = histories
        self._streaming = streaming

    async def complete(self, request: Request) -> object:
        """Respond to a message, as a stream if the request has ``stream``."""
        wish = validated(request.content, CHAT_REQUEST)
        completion = complete(wish)
        if wish.get("stream"):
            return Stream(self._streaming.events(request, wish, completion))
        if not request.dry:
            self._histories.add(request.user_id, wish["message"], completion.text)
        tokens = {"input_tokens": completion.input_tokens, "output_tokens": completion.output_tokens}
        return {
            "response": completion.text,
            **completion.source,
            "usage": {**tokens, "total_tokens": completion.total_tokens},
            "response_time_ms": completion.milliseconds,
            "reasoning": completion.reasoning,
            "fallback_used": False,
        }

    async def complete_plainly(self, request: Request) -> object:
        """Respond to a message without figures."""
        wish = validated(request.content, CHAT_REQUEST)
        completion = complete(wish)
        if not request.dry:
            self._histories.add(request.user_id, wish["message"], completion.text)
        figures = dict.fromkeys(("usage", "response_time_ms", "reasoning", "fallback_used"))
        return {"response": completion.text, **completion.source, **figures}

    async def short_status(self, request: Request) -> object:
        """Return the number of messages."""
        count = self._histories.count(request.user_id)
        return {"message_count": count, "has_history": count > 0}

    async def status(self, request: Request) -> object:
        """Return the number of messages and the version of the API."""
        count = self._histories.count(request.user_id)
        return {"message_count": count, "has_history": count > 0, "api_version": "v0.2"}

    async def clear(self, request: Request) -> object:
        """Delete the history."""
        if not request.dry:
            self._histories.clear(request.user_id)
        return {"status": "success", "message": "Chat history cleared", "api_version": "v0.2"}

    async def health(self, request: Request) -> object:
        """Report the health of the service and its database; NATS is always reported as connected."""
        up = await self._database.responds()
        return {
            "service": "chat",
            "status": "healthy" if up else "unhealthy",
            "version": "0.2",
            "database": {"status": "connected" if up else "disconnected"},
            "nats": {"status": "connected"},
        }


def _add_streaming(router: Service, streaming: Streaming) -> None:
    base = "/api/v0.2/chat/stream"
    router.add(f"POST {base}", streaming.stream)
    router.add(f"POST {base}/cache/invalidate", streaming.invalidate)
    router.add(f"GET {base}/cache/status", streaming.cache_status)
    router.add(f"GET {base}/status", streaming.status)
    router.add(f"DELETE {base}/history", streaming.clear)
    add_canned(router, "chat", f"GET {base}/models", f"GET {base}/models/performance")


class Streaming:
    """Streams responses, with caches of personas and tools."""

    def __init__(self, histories: Histories, *, fixed: bool) -> None:
        self._histories = histories
        self._fixed = fixed
        self._personas: dict[str, None] = {}
        self._tools: dict[str, None] = {}

    async def stream(self, request: Request) -> Stream:
        """Stream the response to a message."""
        wish = validated(request.content, CHAT_REQUEST)
        return Stream(self.events(request, wish, complete(wish)))

    async def events(
        self, request: Request, wish: Mapping[str, Any], completion: Completion
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of one response in order."""
        user, activity = request.user_id, str(wish.get("activity") or "generic")
        yield _event("start", timestamp=naive_now())
        hits = {"persona": user in self._personas, "tools": activity in self._tools}
        yield _event(
            "ready", timestamp=naive_now(), parallel_fetch_ms=0.1 if all(hits.values()) else 2.5, cache_hits=hits
        )
        self._personas[user] = self._tools[activity] = None
        yield _event("model_selection", **completion.source, reasoning=completion.reasoning)
        for chunk in completion.chunks():
            yield _event("content", content=chunk, **completion.source)
        if not request.dry:
            self._histories.add(user, wish["message"], completion.text)
        # The platform counts no tokens of streams.
        tokens = completion.total_tokens if self._fixed else 0
        figures = {"response_time_ms": completion.milliseconds, "total_tokens": tokens}
        yield _event("metadata", **figures, fallback_used=False)
        yield _event("complete", timestamp=naive_now(), response_length=len(completion.text))
        yield b"data: [DONE]\n\n"

    async def status(self, request: Request) -> object:
        """Return the state of streaming and the number of messages."""
        count = self._histories.count(request.user_id)
        capabilities = ("streaming", "model_selection", "persona_caching", "tool_caching", "multi_provider")
        return {
            "status": "ready",
            "performance_mode": "optimized",
            "message_count": count,
            "has_history": count > 0,
            "cache_status": self._cache(),
            "capabilities": dict.fromkeys(capabilities, True),
            "timestamp": naive_now(),
        }

    async def cache_status(self, request: Request) -> object:
        """Return the state of the caches."""
        return {"cache_stats": self._cache(), "timestamp": naive_now()}

    async def invalidate(self, request: Request) -> object:
        """Clear a cache: ``cache_type`` is persona, tools, or anything else for both."""
        kind = required_query(request, "cache_type")
        if not request.dry:
            if kind != "tools":
                self._personas.clear()
            if kind != "persona":
                self._tools.clear()
        return {"status": "success", "message": f"Cache invalidated: {kind}", "timestamp": naive_now()}

    async def clear(self, request: Request) -> object:
        """Delete the history of streams."""
        if not request.dry:
            self._histories.clear(request.user_id)
        return {"status": "success", "message": "Streaming chat history cleared", "timestamp": naive_now()}

    def _cache(self) -> dict[str, object]:
        return {
            "persona_cache_entries": len(self._personas),
            "tools_cache_entries": len(self._tools),
            "persona_cache_keys": list(self._personas),
            "tools_cache_keys": list(self._tools),
        }


def _event(kind: str, **content: object) -> bytes:
    return b"data: " + encode({"type": kind, **content}) + b"\n\n"
