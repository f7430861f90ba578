"""The services of the newest release (the API ``next``), by the OpenAPI documents in ``next``.

Their handlers are those of the current release where both do the same. An operation without a handler has a fixed response, or
returns 503.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

from pytest_gaia.sandbox._services.app import (
    Handler,
    HttpError,
    Identity,
    Request,
    Service,
    canned,
    html_response,
    json_response,
    naive_now,
)
from pytest_gaia.sandbox._services.asset import Assets
from pytest_gaia.sandbox._services.auth import Auth, Identities, without_supabase
from pytest_gaia.sandbox._services.chat import Chat, Conversations, Histories, Streaming
from pytest_gaia.sandbox._services.database import Database
from pytest_gaia.sandbox._services.gateway import V1, Forward, Gateway
from pytest_gaia.sandbox._services.personas import Personas
from pytest_gaia.sandbox._services.validation import checked, json_object

V03 = "/api/v0.3"
DATA = Path(__file__).with_name("next")

Handlers = Mapping[str, Handler]
"""operation of the document → its handler"""


def newest_services(
    identities: Identities, database: Database, backends: Mapping[str, str], *, fixed: bool
) -> dict[str, Service]:
    """Return the applications of a stack by their names."""
    own: dict[str, Handlers] = {
        "gateway": gateway_handlers(database, backends, fixed=fixed),
        "auth": auth_handlers(identities, database),
        "asset": {"POST /assets/request": Assets(database).request},
        "chat": chat_handlers(database, fixed=fixed),
        "kb": kb_handlers(responses()["documents"]),
    }
    found = {name: _documented(name, identities, database, handlers) for name, handlers in own.items()}
    return {**found, "web": web_service(identities.authenticate)}


@cache
def document(service: str) -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    found: dict[str, Any] = json.loads((DATA / f"{service}.openapi.json").read_text("utf-8"))
    return found


@cache
def responses() -> Mapping[str, Mapping[str, Any]]:
    """Return service → operation → fixed response."""
    found: Mapping[str, Mapping[str, Any]] = json.loads((DATA / "responses.json").read_text("utf-8"))
    return found


def _documented(name: str, identities: Identities, database: Database, handlers: Handlers) -> Service:
    """Build a service with the operations of its document."""
    published = document(name)
    crash = partial(json_response, {"detail": "Internal server error"}, 500) if name == "gateway" else None
    service = Service(name, identities.authenticate, crash=crash, document=published)
    fixed_ones = {rule: canned(content) for rule, content in responses()[name].items()}
    known = {"GET /health": _health(name, published["info"]["version"], database), **fixed_ones, **handlers}
    schemas = published["components"]["schemas"]
    # Static paths first: the document lists some of them after /conversations/{conversation_id}, which would match them.
    for path in sorted(published["paths"], key=lambda each: "{" in each):
        for method, operation in published["paths"][path].items():
            rule = f"{method.upper()} {path}"
            handler = known.get(rule) or _missing(rule, name)
            service.add(rule, checked(operation, schemas, handler), open_=not operation.get("security"))
    return service


def _missing(rule: str, service: str) -> Handler:
    async def refuse(request: Request) -> object:
        raise HttpError(503, f"The sandbox does not implement {rule} of {service}")

    return refuse


def _health(name: str, version: str, database: Database) -> Handler:
    async def health(request: Request) -> object:
        status = "healthy" if await database.responds() else "unhealthy"
        return {"service": name, "status": status, "version": version, "timestamp": naive_now()}

    return health


def auth_handlers(identities: Identities, database: Database) -> Handlers:
    """Return the handlers of the auth service."""
    auth = Auth(identities, database)

    async def key_login(request: Request) -> object:
        user = await identities.user_of_key(request.headers["x-api-key"], any_key=request.any_key)
        if user is None:
            raise HttpError(401, "Invalid API key")
        return {"success": True, "auth_type": "api_key", "user_id": user}

    actions = {"register": "Registration", "login": "Login", "refresh": "Token refresh", "confirm": "Confirmation"}
    actions["resend-verification"] = "Verification"
    return {
        "POST /auth/validate": auth.validate,
        "POST /internal/validate": auth.internal_validate,
        "POST /auth/api-key-login": key_login,
        **{f"POST /auth/{name}": without_supabase(action, {}) for name, action in actions.items()},
    }


def chat_handlers(database: Database, *, fixed: bool) -> Handlers:
    """Return the handlers of the chat service."""
    histories = Histories()
    chat = Chat(database, histories, Streaming(histories, fixed=fixed))
    personas = Personas(database, fixed=fixed)
    conversations = Conversations(database, histories)
    one, base = "/conversations/{conversation_id}", "/personas"
    return {
        "POST /chat/": chat.complete_plainly,
        "POST /chat/multi-provider": chat.complete,
        "POST /chat/unified": conversations.chat,
        "GET /chat/status": chat.short_status,
        "DELETE /chat/history": chat.clear,
        "POST /api/v0.2": chat.complete,
        "GET /api/v0.2/status": chat.status,
        "DELETE /api/v0.2/history": chat.clear,
        "GET /conversations": conversations.listing,
        "POST /conversations": conversations.create,
        "GET /conversations/stats": conversations.stats,
        "GET /conversations/search/{query}": conversations.search,
        f"GET {one}": conversations.get,
        f"PUT {one}": conversations.update,
        f"DELETE {one}": conversations.delete,
        f"GET {one}/messages": conversations.messages,
        f"POST {one}/messages": conversations.add_message,
        f"GET {base}/": personas.listing,
        f"POST {base}/": personas.create,
        f"GET {base}/current": personas.current,
        f"POST {base}/set": personas.choose,
        f"POST {base}/initialize-default": personas.initialize,
        f"GET {base}/{{persona_id}}": personas.get,
        f"PUT {base}/{{persona_id}}": personas.update,
        f"DELETE {base}/{{persona_id}}": personas.delete,
    }


class NewestGateway(Gateway):
    """The handlers of the gateway where they differ from those of the current release."""

    greeting = responses()["gateway"]["GET /"]

    async def health(self, request: Request) -> object:
        """Report the health of the database and of each service; Redis and Supabase are always reported as healthy."""
        states = {name: await self._state(name) for name in self._backends}
        up = await self._database.responds()
        well = all(state["status"] == "healthy" for state in states.values())
        return {
            "status": ("healthy" if well else "degraded") if up else "unhealthy",
            "timestamp": naive_now(),
            "version": "0.2",
            "services": states,
            "database": {"status": "healthy" if up else "unhealthy", "database": "postgresql", "responsive": up},
            "redis": {"status": "healthy", "connected": True},
            "supabase": {
                "status": "healthy",
                "service": "supabase",
                "url": "http://localhost:54321",
                "responsive": True,
            },
        }

    def translated(self, forward: Forward, translate: Callable[[Any], object]) -> Handler:
        """Return a handler whose response is the translation of that of the other service."""
        forwarded: Callable[[Request], Awaitable[Any]] = self.handler(forward)

        async def handle(request: Request) -> object:
            return translate(json.loads((await forwarded(request)).body))

        return handle

    async def _state(self, service: str) -> dict[str, object]:
        if await self._responds(service):
            return {"status": "healthy", "response_time": 0.001}
        return {"status": "unhealthy", "error": f"Service {service} unavailable"}

    def _failure(self, status: int, body: str) -> HttpError:
        return HttpError(404, "Not found") if status == 404 else super()._failure(status, body)


def gateway_handlers(database: Database, backends: Mapping[str, str], *, fixed: bool) -> Handlers:
    """Return the handlers of the gateway."""
    gateway = NewestGateway(database, backends, fixed=fixed)
    one = "/conversations/{conversation_id}"
    to = {
        f"POST {V1}/chat": ("chat", "/chat/unified"),
        f"GET {V1}/chat/personas": ("chat", "/personas/"),
        f"POST {V1}/chat/personas": ("chat", "/personas/"),
        f"GET {V1}/conversations": ("chat", "/conversations"),
        f"POST {V1}/conversations": ("chat", "/conversations"),
        f"GET {V1}{one}": ("chat", one),
        f"GET {V1}{one}/messages": ("chat", f"{one}/messages"),
        f"GET {V1}/filesystem": ("chat", "/filesystem"),
        f"POST {V1}/filesystem/read": ("chat", "/filesystem/read"),
        f"GET {V1}/assets": ("asset", "/assets/"),
        f"POST {V1}/assets/generate": ("asset", "/assets/request"),
        f"GET {V1}/assets/test": ("asset", "/assets/test"),
        f"GET {V1}/assets/{{asset_id}}": ("asset", "/assets/{asset_id}"),
    }
    names = ("login", "register", "logout", "validate", "refresh", "confirm", "resend-verification")
    to |= {f"POST {base}/auth/{name}": ("auth", f"/auth/{name}") for base in (V1, V03) for name in names}
    chat = gateway.translated(Forward(f"POST {V03}/chat", target="/chat/unified"), _reply)

    async def clean_chat(request: Request) -> object:
        wish = json_object(request.content)
        if not wish.get("message"):
            return json_response({"error": "Message is required"}, 400)
        return await chat(request)

    listing, creation = (
        Forward(f"{method} {V03}/conversations", target="/conversations") for method in ("GET", "POST")
    )
    return {
        "GET /": gateway.root,
        "GET /health": gateway.health,
        "POST /calculator/add": gateway.add_numbers,
        **{rule: gateway.handler(Forward(rule, service, target)) for rule, (service, target) in to.items()},
        f"DELETE {V1}{one}": gateway.translated(
            Forward(f"DELETE {V1}{one}", target=one), lambda _: {"message": "Conversation deleted"}
        ),
        f"POST {V03}/chat": clean_chat,
        f"GET {V03}/conversations": gateway.translated(
            listing, lambda found: {"conversations": list(map(_short, found["conversations"]))}
        ),
        f"POST {V03}/conversations": gateway.translated(creation, _short),
    }


def _short(conversation: Mapping[str, Any]) -> dict[str, Any]:
    return {"conversation_id": conversation["id"], **{name: conversation[name] for name in ("title", "created_at")}}


def _reply(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("response", "conversation_id")}


_TALK = ("context", "multitask", "navigate", "synthesize", "threads", "search/semantic", "claude-code")


def kb_handlers(documents: Mapping[str, str]) -> Mapping[str, Handler]:
    """Return the handlers of the knowledge base over a copy of ``documents``: path → text."""
    knowledge = Knowledge(documents)
    return {
        "POST /search": knowledge.search,
        "POST /list": knowledge.listing,
        "POST /read": knowledge.read,
        "POST /write": knowledge.write,
        "DELETE /delete": knowledge.delete,
        "POST /move": knowledge.move,
        "GET /experience/info/{experience_id}": knowledge.experience,
        **{f"POST /{name}": knowledge.talk for name in _TALK},
    }


class Knowledge:
    """The handlers. Requests for files that do not exist succeed, with a text that names the problem."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._documents = dict(documents)

    async def search(self, request: Request) -> object:
        """Find the files that contain a text."""
        query = _message(request)
        found = {path: text for path, text in self._documents.items() if query.lower() in f"{path}\n{text}".lower()}
        listed = "\n".join(f"- {path}: {text.splitlines()[0]}" for path, text in found.items())
        response = f"Found {len(found)} results for '{query}'\n{listed}" if found else f"No results found for '{query}'"
        return _success(response, total_results=len(found), query=query)

    async def listing(self, request: Request) -> object:
        """List the files in a folder."""
        directory = _message(request)
        prefix = _path(directory).rstrip("/") + "/"
        found = [path for path in self._documents if path.startswith(prefix)]
        listed = "\n".join(f"- {path}" for path in sorted(found))
        return _success(listed or f"No files found in {directory}", directory=directory)

    async def read(self, request: Request) -> object:
        """Return the text of a file."""
        path = _message(request)
        return _success(self._documents.get(_path(path), f"File not found: {path}"), file_path=path)

    async def talk(self, request: Request) -> object:
        """Respond as if a language model had used the files."""
        query = _message(request)
        return _success(f"Hello, this is the knowledge base. You said: {query}", query=query)

    async def write(self, request: Request) -> object:
        """Write a file."""
        wish = json_object(request.content)
        path = _path(wish["path"])
        if not request.dry:
            self._documents[path] = wish["content"]
        return _success(f"Wrote {path}", file_path=path)

    async def delete(self, request: Request) -> object:
        """Delete a file, or return 404."""
        path = self._existing(json_object(request.content)["path"])
        if not request.dry:
            del self._documents[path]
        return _success(f"Deleted {path}", file_path=path)

    async def move(self, request: Request) -> object:
        """Move a file, or return 404."""
        wish = json_object(request.content)
        old, new = self._existing(wish["old_path"]), _path(wish["new_path"])
        if not request.dry:
            self._documents[new] = self._documents.pop(old)
        return _success(f"Moved {old} to {new}", file_path=new)

    async def experience(self, request: Request) -> object:
        """Return 404: there is no experience."""
        raise HttpError(404, f"Experience '{request.path_params['experience_id']}' not found")

    def _existing(self, name: str) -> str:
        if _path(name) not in self._documents:
            raise HttpError(404, f"File not found: {name}")
        return _path(name)


def _message(request: Request) -> str:
    return str(json_object(request.content)["message"])


def _path(name: str) -> str:
    return f"/{name.strip('/')}"


def _success(response: str, **metadata: object) -> dict[str, Any]:
    return {"status": "success", "response": response, "metadata": metadata}


def web_service(authenticate: Callable[[Request], Awaitable[Identity]]) -> Service:
    """Build the web pages, which have no OpenAPI document."""
    router = Service("Gaia Web", authenticate, document=False)
    pages = {
        "/": ("Gaia Platform", '<p>Welcome to Gaia.</p><a href="/login">Log in</a>'),
        "/login": (
            "Log in - Gaia Platform",
            '<form method="post" action="/auth/login"><input name="email"><input name="password" type="password"></form>',
        ),
        "/health": ("Gaia Platform is healthy", "<p>healthy</p>"),
    }
    for path, (title, body) in pages.items():
        router.add(f"GET {path}", _page(title, body), open_=True)
    return router


def _page(title: str, body: str) -> Handler:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )

    async def show(request: Request) -> object:
        return html_response(text)

    return show
