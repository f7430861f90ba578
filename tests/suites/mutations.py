"""Faults that the suites must detect: each breaks one thing, and a test of its suite must fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

V02, V03, V1 = "/api/v0.2", "/api/v0.3", "/api/v1"


@dataclass(frozen=True)
class Mutation:
    """One fault and the suite that must detect it (see ``pytest_gaia.sandbox._services.faults``)."""

    suite: str
    service: str
    kind: str
    route: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """A name for it."""
        details = [self.route, *(f"{name}={value}" for name, value in self.arguments.items())]
        return " ".join([self.suite, self.service, self.kind, *(each for each in details if each)])


def _set(suite: str, route: str, path: str, value: object, service: str = "gateway", **more: Any) -> Mutation:
    return Mutation(suite, service, "set", route, {"field": path, "value": value, **more})


def _drop(suite: str, route: str, path: str, service: str = "gateway", **more: Any) -> Mutation:
    return Mutation(suite, service, "drop", route, {"field": path, **more})


def _status(suite: str, route: str, status: int, service: str = "gateway", **more: Any) -> Mutation:
    return Mutation(suite, service, "status", route, {"status": status, **more})


def _noop(suite: str, route: str, method: str) -> Mutation:
    return Mutation(suite, "chat", "noop", route, {"method": method})


_CURRENT = (
    # health: reports of the gateway and the services
    _set("health", "/health", "status", "degraded"),
    _set("health", "/health", "status", "unhealthy"),
    _drop("health", "/health", "version"),
    _set("health", "/openapi.json", "paths", {}),
    Mutation("health", "asset", "stop"),
    Mutation("health", "gateway", "slow", "/health", {"delay": 0.5}),
    _set("health", "/health", "database.status", "disconnected", "chat"),
    _set("health", "/health", "database.responsive", value=False, service="auth"),
    _drop("health", f"{V02}/", "endpoints.personas", "chat"),
    # status
    _drop("status", f"{V02}/chat/stream/status", "cache_status.persona_cache_keys"),
    _set("status", f"{V02}/chat/stream/cache/status", "cache_stats.tools_cache_entries", 99),
    _set("status", f"{V02}/chat/status", "message_count", 7),
    _noop("status", f"{V02}/chat/stream/cache/invalidate", "POST"),
    # providers
    _drop("providers", f"{V02}/providers", "providers.*.id"),
    _set("providers", f"{V02}/providers", "total_providers", 7),
    _set("providers", f"{V02}/providers/stats", "summary.total_cost", 99.5),
    _set("providers", f"{V02}/providers/stats", "summary.total_requests", 1),
    _set("providers", f"{V02}/providers/health", "providers.claude.status", "unhealthy"),
    _drop("providers", f"{V02}/providers/{{provider}}/models", "models.*.pricing"),
    _status("providers", f"{V02}/providers/{{provider}}/models", 500, "chat"),
    # models
    _set("models", f"{V02}/models", "total", 9),
    _set("models", f"{V02}/models", "models.*.max_tokens", "4096"),
    _set("models", f"{V02}/models", "filters.provider", None),
    _status("models", f"{V02}/models/{{model_id}}", 404, "chat"),
    _set("models", f"{V02}/models/{{model_id}}", "context_window", 1),
    # chat
    _set("chat", f"{V02}/chat", "usage.total_tokens", 1),
    _drop("chat", f"{V02}/chat", "usage.output_tokens"),
    _set("chat", f"{V02}/chat", "response", ""),
    _set("chat", f"{V02}/chat", "model", "a-model-of-nobody"),
    _status("chat", f"{V02}/chat", 500),
    Mutation("chat", "chat", "reset", f"{V02}/chat"),
    _noop("chat", f"{V02}/chat/stream/history", "DELETE"),
    # stream
    Mutation("stream", "chat", "sse_truncate", f"{V02}/chat/stream", {"after": 3}),
    Mutation("stream", "chat", "sse_truncate", f"{V02}/chat/stream", {"after": 7}),
    Mutation("stream", "chat", "sse_reorder", f"{V02}/chat/stream", {"move": "complete", "before": "start"}),
    Mutation("stream", "chat", "sse_reorder", f"{V02}/chat/stream", {"move": "metadata", "before": "content"}),
    _status("stream", f"{V02}/chat/stream", 503),
    _set("stream", f"{V02}/chat/stream/models/performance", "rankings.fastest_ttft.0.ttft_ms", 99_999),
    _set("stream", f"{V02}/chat/stream/models/performance", "recommendations.vr_best", "gpt-4o-mini"),
    # pricing
    _set("pricing", f"{V02}/assets/pricing/cost-estimator/estimate", "total_cost", 1.0),
    _set("pricing", f"{V02}/assets/pricing/cost-estimator/provider-comparison", "cheapest_provider", "dalle"),
    _set("pricing", f"{V02}/assets/pricing/analytics", "total_cost", 0.5),
    _drop("pricing", f"{V02}/assets/pricing/cost-estimator/dalle-tiers", "tiers.*.hd_cost"),
    _set("pricing", f"{V02}/assets/pricing/cost-estimator/meshy-packages", "packages.0.cost", 0.01),
    _set("pricing", f"{V02}/assets/pricing/providers", "total_providers", 1),
    _set("pricing", f"{V02}/assets/pricing/current", "pricing.provider", "somebody"),
    # usage
    _set("usage", f"{V02}/usage/current", "total_cost", 1.0),
    _set("usage", f"{V02}/usage/current", "providers.claude.tokens", 1),
    _set("usage", f"{V02}/usage/limits", "limits.dalle.remaining", 1),
    _set("usage", f"{V02}/usage/history", "summary.total_requests", 1),
    _set("usage", f"{V02}/usage/history", "usage_history.0.date", "2001-01-01"),
    _set("usage", f"{V02}/usage/billing/current", "current_charges.total", 1.0),
    _set("usage", f"{V02}/usage/billing/current", "payment_method.last_four", "4242424242424242"),
    _set("usage", f"{V02}/usage/reports/monthly", "cost_categories.overage_charges", 50.0),
    # personas
    _noop("personas", f"{V02}/personas", "POST"),
    _noop("personas", f"{V02}/personas/{{persona_id}}", "PUT"),
    _noop("personas", f"{V02}/personas/{{persona_id}}", "DELETE"),
    _noop("personas", f"{V02}/personas/set", "POST"),
    _drop("personas", f"{V02}/personas", "personas.*.system_prompt", method="GET"),
    _set("personas", f"{V02}/personas", "total", 42, method="GET"),
    _set("personas", f"{V02}/personas/{{persona_id}}", "persona.description", "another", method="GET"),
    _status("personas", f"{V02}/personas/initialize-default", 503),
    # performance
    _set("performance", f"{V02}/performance/summary", "summary.max_response_time", -1),
    _set("performance", f"{V02}/performance/stages", "stage_timings.llm_api_call.percentage_of_total", 1.0),
    _set("performance", f"{V02}/performance/providers", "providers.claude.uptime_percentage", 101),
    _set("performance", f"{V02}/performance/live", "active_requests.count", "1"),
    _set("performance", f"{V02}/performance/health", "health_score", 10),
    _noop("performance", f"{V02}/performance/reset", "DELETE"),
    # auth
    Mutation("auth", "auth", "accept_any_key", "/auth/validate"),
    _set("auth", "/auth/validate", "valid", value=True, service="auth"),
    _set("auth", "/auth/validate", "user_id", "somebody-else", "auth"),
    _status("auth", f"{V1}/auth/login", 200),
    # assets
    _set("assets", f"{V1}/assets", "total", -1, "asset"),
    _status("assets", f"{V1}/assets/{{asset_id}}", 500),
    _status("assets", f"{V1}/assets", 200, "asset", body={"assets": [], "total": 0}),
    # messaging: the first request to a service restarts it and removes the fault, so this one is at the gateway
    _status("messaging", f"{V1}/auth/validate", 503),
    # database
    _noop("database", f"{V02}/personas", "POST"),
    _noop("database", f"{V02}/personas/{{persona_id}}", "DELETE"),
    _noop("database", f"{V02}/personas/{{persona_id}}", "PUT"),
    _status("database", f"{V02}/providers", 403),
    # security
    Mutation("security", "gateway", "accept_any_key"),
    _status("security", f"{V02}/usage/current", 200, body={}),
    _status("security", f"{V02}/models", 500),
    _drop("security", f"{V02}/providers", "detail"),
    _set("security", "/openapi.json", "paths", {}),
    # legacy
    _set("legacy", "/calculator/add", "result", 6),
    _drop("legacy", f"{V1}/chat", "response"),
    _noop("legacy", "/chat/history", "DELETE"),
    _status("legacy", f"{V1}/chat/status", 500),
)

_NEXT = (
    # conversations
    _set("conversations", f"{V1}/conversations", "conversations", {}, method="GET"),
    _drop("conversations", f"{V1}/conversations", "conversations.*.updated_at", method="GET"),
    _set("conversations", f"{V1}/conversations", "title", "another", method="POST"),
    _status("conversations", f"{V1}/conversations", 200, method="POST", body={"id": "made-up"}),
    _set("conversations", f"{V1}/conversations/{{conversation_id}}", "id", "another", method="GET"),
    _status("conversations", f"{V1}/conversations/{{conversation_id}}", 500, method="GET"),
    _status("conversations", f"{V1}/conversations/{{conversation_id}}", 204, method="DELETE"),
    _set("conversations", f"{V1}/conversations/{{conversation_id}}/messages", "messages", [{"id": "a message"}]),
    _set("conversations", f"{V03}/conversations", "conversations", [], method="GET"),
    _set("conversations", f"{V03}/conversations", "conversation_id", "another", method="POST"),
    _noop("conversations", "/conversations", "POST"),
    _noop("conversations", "/conversations/{conversation_id}", "DELETE"),
    # locations
    _set("locations", f"{V03}/locations/nearby", "count", 7),
    _status("locations", f"{V03}/locations/nearby", 200, body={"locations": [], "count": 0}),
    # chat
    _status("chat", f"{V03}/chat", 200, body={}),
    _drop("chat", f"{V03}/chat", "error"),
    # auth
    Mutation("auth", "auth", "accept_any_key", "/auth/validate"),
    _set("auth", f"{V03}/auth/validate", "valid", value=True),
    _drop("auth", f"{V03}/auth/validate", "error"),
    _status("auth", f"{V03}/auth/login", 200),
    _status("auth", f"{V03}/auth/refresh", 400, body={"detail": "gaia-test-refresh-token is invalid"}),
    # kb
    _set("kb", "/search", "metadata.query", "another", "kb"),
    _set("kb", "/search", "metadata.total_results", 3, "kb"),
    _drop("kb", "/list", "metadata.directory", "kb"),
    _set("kb", "/read", "status", "error", "kb"),
    _status("kb", "/read", 200, "kb", body={}),
    _set("kb", "/cache/stats", "cache.enabled", "yes", "kb"),
    _set("kb", "/search/semantic/stats", "enabled", value=True, service="kb"),
    _drop("kb", "/git/status", "error", "kb"),
    _status("kb", "/game/experiences", 200, "kb", body={"success": True, "experiences": []}),
    _set("kb", "/openapi.json", "paths", {}, "kb"),
    # web
    _status("web", "/", 500, "web"),
    _status("web", "/", 200, "web", body={}),
    # personas
    _set("personas", f"{V1}/chat/personas", "total", 42),
    _set("personas", f"{V1}/chat/personas", "personas", []),
    # assets
    _drop("assets", f"{V1}/assets", "message"),
    _set("assets", f"{V1}/assets/test", "status", "down"),
    _set("assets", "/assets/", "total", -1, "asset"),
    _set("assets", "/assets/health", "services", {}, "asset"),
    _status("assets", "/assets/request", 200, "asset", body={}),
    # health
    _set("health", "/health", "services.kb.status", "unhealthy"),
    _set("health", "/health", "redis.connected", value=False),
    _drop("health", "/health", "redis"),
    _set("health", "/openapi.json", "paths", {}),
    _set("health", "/auth/health", "checks.auth_backend.status", "unhealthy", "auth"),
    _set("health", "/auth/health", "overall_status", "healthy", "auth"),
    _set("health", "/health", "service", "another", "kb"),
    # security
    Mutation("security", "gateway", "accept_any_key"),
    _status("security", f"{V1}/conversations", 200, body={"conversations": []}),
    _status("security", f"{V03}/chat", 200, body={}),
    # legacy
    _set("legacy", "/calculator/add", "result", 6),
)

MUTATIONS = {"current": _CURRENT, "next": _NEXT}
"""API of the sandbox → its faults"""
