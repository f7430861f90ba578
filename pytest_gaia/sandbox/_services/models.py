"""The language models: their descriptions, providers and performance, and a fake that responds for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pytest_gaia.sandbox._services.app import (
    FIGURES,
    RESPONSES,
    HttpError,
    Request,
    Service,
    add_canned,
    canned,
    chosen,
    filled,
    naive,
)
from pytest_gaia.sandbox._services.validation import whole_number

MODELS: Mapping[str, Mapping[str, Any]] = FIGURES["models"]
"""name → description of the model, with the default model of each provider first"""

_FAST, _BEST = "claude-3-haiku-20240307", "gpt-4o"
_SUMMARY = ("id", "name", "capabilities", "max_tokens", "context_window", "provider")
_WORDS_IN_CHUNK = 4
_PROVIDERS = "/api/v0.2/providers"
_MODELS = "/api/v0.2/models"
_PERFORMANCE = "/api/v0.2/performance"


class Completion(NamedTuple):
    """One response of a model."""

    source: Mapping[str, str]
    """names of the provider and of the model"""
    reasoning: str
    text: str
    input_tokens: int
    output_tokens: int
    milliseconds: int
    """the response time of the model"""

    @property
    def total_tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def chunks(self) -> list[str]:
        """Return the pieces of the text for streaming; the last piece is empty."""
        words = self.text.split(" ")
        pieces = [" ".join(words[start : start + _WORDS_IN_CHUNK]) for start in range(0, len(words), _WORDS_IN_CHUNK)]
        return [*(f"{piece} " for piece in pieces[:-1]), pieces[-1], ""]


def complete(wish: Mapping[str, object]) -> Completion:
    """Respond to a chat request; the same message always gets the same response.

    Raises ``HttpError`` 500 for an unknown model or provider.
    """
    name, reasoning = _choose(wish)
    model, message = MODELS[name], str(wish["message"])
    text = f"Hello, this is Mu. You said: {message}"
    spoken = _tokens(text)
    source = {"provider": model["provider"], "model": name}
    return Completion(source, reasoning, text, _tokens(message), spoken, model["avg_response_time_ms"] + 5 * spoken)


def add_providers(router: Service, *, fixed: bool) -> None:
    """Add the routes of providers. Without ``fixed``, the only route of a single provider is that of its models."""
    responses, missing = RESPONSES["chat"], "Provider {} not found"
    listed, health, stats = (responses[f"GET {_PROVIDERS}/{name}"] for name in ("", "health", "stats"))
    of_models = f"GET {_PROVIDERS}/{{provider}}/models"
    add_canned(router, "chat", f"GET {_PROVIDERS}/")
    router.add(of_models, chosen(responses[of_models], missing))
    add_canned(router, "chat", f"GET {_PROVIDERS}/health")
    router.add(f"POST {_PROVIDERS}/health/check", canned(health))
    add_canned(router, "chat", f"GET {_PROVIDERS}/stats")
    if fixed:
        router.add(f"GET {_PROVIDERS}/{{provider}}", chosen({one["id"]: one for one in listed["providers"]}, missing))
        for name, each in (("health", health["providers"]), ("stats", stats["provider_stats"])):
            told = {provider: {"provider": provider, **one} for provider, one in each.items()}
            router.add(f"GET {_PROVIDERS}/{{provider}}/{name}", chosen(told, missing))


def add_models(router: Service, *, fixed: bool) -> None:
    """Add the routes of models. Without ``fixed``, the three lists are missing and their names are read as models."""
    router.add(f"GET {_MODELS}/", _listing)
    if fixed:
        add_canned(router, "chat", *(f"GET {_MODELS}/{name}" for name in ("capabilities", "priorities", "contexts")))
    router.add(f"GET {_MODELS}/{{model_id}}", chosen(MODELS, "Model not found: {}"))


def add_performance(router: Service) -> None:
    """Add the routes of performance. The platform does not measure chats, so its figures are those of an idle one."""
    measured = Performance()
    router.add(f"GET {_PERFORMANCE}/summary", measured.summary)
    add_canned(router, "chat", f"GET {_PERFORMANCE}/providers")
    router.add(f"GET {_PERFORMANCE}/stages", _stages)
    add_canned(router, "chat", f"GET {_PERFORMANCE}/live", f"GET {_PERFORMANCE}/health")
    router.add(f"DELETE {_PERFORMANCE}/reset", measured.reset)


class Performance:
    """The handlers that use the start time of the measurement."""

    def __init__(self) -> None:
        self._since = datetime.now(UTC)

    async def summary(self, request: Request) -> object:
        """Return figures of all requests since the last reset."""
        return filled(RESPONSES["chat"][f"GET {_PERFORMANCE}/summary"], since=naive(self._since))

    async def reset(self, request: Request) -> object:
        """Restart the measurement."""
        start, end = self._since, datetime.now(UTC)
        if not request.dry:
            self._since = end
        minutes = round((end - start).total_seconds() / 60, 4)
        response = RESPONSES["chat"][f"DELETE {_PERFORMANCE}/reset"]
        return filled(response, since=naive(start), end=naive(end), minutes=minutes)


async def _stages(request: Request) -> object:
    """Return the durations of the stages of a request; their shares add up to 100 percent."""
    return filled(RESPONSES["chat"][f"GET {_PERFORMANCE}/stages"], samples=whole_number(request, "limit", 100))


async def _listing(request: Request) -> object:
    """List the models, filtered by ``provider`` or ``capability``."""
    provider, capability = request.query_params.get("provider"), request.query_params.get("capability")
    found = [
        {name: model[name] for name in _SUMMARY}
        for model in MODELS.values()
        if provider in (None, model["provider"]) and (capability is None or capability in model["capabilities"])
    ]
    return {"models": found, "total": len(found), "filters": {"provider": provider, "capability": capability}}


def _choose(wish: Mapping[str, object]) -> tuple[str, str]:
    wanted, provider = wish.get("model"), wish.get("provider")
    if wanted:
        if wanted not in MODELS:
            raise HttpError(500, f"No provider found for model: {wanted}")
        return str(wanted), "Model asked for"
    if provider:
        offered = [name for name, model in MODELS.items() if model["provider"] == provider]
        if not offered:
            raise HttpError(500, f"No provider found for model: default of {provider}")
        return offered[0], "Provider asked for"
    if wish.get("priority") == "quality":
        return _BEST, "Best quality"
    return _FAST, "Fastest model for a short message"


def _tokens(text: str) -> int:
    """Return an estimate of the number of tokens: one for four characters."""
    return max(1, len(text) // 4)
