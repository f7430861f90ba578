"""The chat service: chats as JSON and as server-sent events, and the other routes of the service.

:class:`Conversations` is for the newest release, which stores them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pytest_gaia.clients.database.driver import Record
from pytest_gaia.sandbox._services.app import (
    RESPONSES,
    HttpError,
    Request,
    Service,
    Stream,
    add_canned,
    canned,
    empty_response,
    encode,
    json_response,
    naive_now,
)
from pytest_gaia.sandbox._services.auth import Identities
from pytest_gaia.sandbox._services.billing import add_pricing, add_usage
from pytest_gaia.sandbox._services.database import ADD_CONVERSATION, Database
from pytest_gaia.sandbox._services.models import Completion, add_models, add_performance, add_providers, complete
from pytest_gaia.sandbox._services.personas import add_personas
from pytest_gaia.sandbox._services.validation import (
    OPTIONAL_BOOLEAN,
    OPTIONAL_STRING,
    STRING,
    Field,
    json_object,
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


_ADD_MESSAGE = """
    INSERT INTO chat_messages (user_id, conversation_id, role, content, model, provider, tokens_used)
    VALUES ((SELECT id FROM users WHERE id::text = $1), $2, $3, $4, $5, $6, $7) RETURNING *
"""
_UPDATE = """
    UPDATE conversations SET title = coalesce($2, title), preview = coalesce($3, preview), updated_at = now()
    WHERE id = $1 RETURNING *
"""
_DELETE = "WITH gone AS (DELETE FROM conversations WHERE id = $1) DELETE FROM chat_messages WHERE conversation_id = $1"
_SEARCH = """
    SELECT * FROM conversations WHERE user_id = $1 AND (title ILIKE $2 OR preview ILIKE $2) ORDER BY updated_at DESC
"""
_STATS = """
    SELECT count(DISTINCT conversations.id) AS total_conversations, count(chat_messages.id) AS total_messages
    FROM conversations LEFT JOIN chat_messages ON conversation_id = conversations.id WHERE conversations.user_id = $1
"""
_PREVIEW = 100


class Conversations:
    """The handlers of conversations, which belong to the user of the request."""

    def __init__(self, database: Database, histories: Histories) -> None:
        self._database = database
        self._histories = histories

    async def listing(self, request: Request) -> object:
        """List the conversations, the last one first."""
        query = "SELECT * FROM conversations WHERE user_id = $1 ORDER BY updated_at DESC"
        return {"conversations": list(map(_conversation, await self._database.fetch(query, request.user_id)))}

    async def search(self, request: Request) -> object:
        """List the conversations that contain a text in their title or preview."""
        text = request.path_params["query"].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = await self._database.fetch(_SEARCH, request.user_id, f"%{text}%")
        return {"conversations": list(map(_conversation, rows))}

    async def stats(self, request: Request) -> object:
        """Count the conversations and their messages."""
        return dict((await self._database.fetch(_STATS, request.user_id))[0])

    async def create(self, request: Request) -> object:
        """Add a conversation."""
        wish = json_object(request.content) if request.content else {}
        made = await self._create(request, str(wish.get("title") or "New Conversation"))
        return json_response(_conversation(made), 201)

    async def get(self, request: Request) -> object:
        """Return one conversation, or 404."""
        return _conversation(await self._find(request))

    async def update(self, request: Request) -> object:
        """Change the given fields of a conversation."""
        row, wish = await self._find(request), json_object(request.content)
        values = (wish.get("title"), wish.get("preview"))
        return _conversation((await self._database.write(_UPDATE, row["id"], *values, dry=request.dry))[0])

    async def delete(self, request: Request) -> object:
        """Delete a conversation and its messages."""
        row = await self._find(request)
        await self._database.write(_DELETE, row["id"], dry=request.dry)
        return empty_response()

    async def messages(self, request: Request) -> object:
        """List the messages of a conversation in their order."""
        row = await self._find(request)
        query = "SELECT * FROM chat_messages WHERE conversation_id = $1 ORDER BY created_at, role DESC"
        return {"messages": list(map(_message, await self._database.fetch(query, row["id"])))}

    async def add_message(self, request: Request) -> object:
        """Add a message to a conversation."""
        row, wish = await self._find(request), json_object(request.content)
        about = [wish.get(name) for name in ("model", "provider", "tokens_used")]
        added = await self._add(request, row["id"], wish["role"], wish["content"], *about)
        return json_response(_message(added), 201)

    async def chat(self, request: Request) -> object:
        """Respond to a message, and add both to its conversation; without one, to a new one."""
        wish = validated(request.content, {**CHAT_REQUEST, "conversation_id": OPTIONAL_STRING})
        message, completion = wish["message"], complete(wish)
        given = wish.get("conversation_id")
        row = await self._find(request, given) if given else await self._create(request, message[:_PREVIEW] or "New")
        about = (completion.source["model"], completion.source["provider"])
        await self._add(request, row["id"], "user", message, *about, completion.input_tokens)
        await self._add(request, row["id"], "assistant", completion.text, *about, completion.output_tokens)
        if not request.dry:
            self._histories.add(request.user_id, message, completion.text)
        return {"response": completion.text, **completion.source, "conversation_id": str(row["id"])}

    async def _create(self, request: Request, title: str) -> Record:
        rows = await self._database.write(ADD_CONVERSATION, request.user_id, title[:255], "", dry=request.dry)
        return rows[0]

    async def _add(self, request: Request, conversation: uuid.UUID, *values: object) -> Record:
        rows = await self._database.write(_ADD_MESSAGE, request.user_id, conversation, *values, dry=request.dry)
        preview = str(values[1])[:_PREVIEW]
        await self._database.write(_UPDATE, conversation, None, preview, dry=request.dry)
        return rows[0]

    async def _find(self, request: Request, given: str | None = None) -> Record:
        query = "SELECT * FROM conversations WHERE id = $1 AND user_id = $2"
        try:
            wanted = uuid.UUID(given or request.path_params["conversation_id"])
        except ValueError:
            raise HttpError(404, "Conversation not found") from None
        rows = await self._database.fetch(query, wanted, request.user_id)
        if not rows:
            raise HttpError(404, "Conversation not found")
        return rows[0]


def _conversation(row: Record) -> dict[str, Any]:
    return _as_json(row, ("id", "title", "preview", "created_at", "updated_at"))


def _message(row: Record) -> dict[str, Any]:
    return _as_json(row, ("id", "role", "content", "model", "provider", "tokens_used", "created_at"))


def _as_json(row: Record, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: row[name] for name in names}
    times = {name: value.isoformat() for name, value in found.items() if name.endswith("_at")}
    return {**found, **times, "id": str(row["id"])}
