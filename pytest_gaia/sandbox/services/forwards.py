"""The gateway's table of forwarded routes, in the order in which they are matched."""

from __future__ import annotations

from typing import NamedTuple


class Forward(NamedTuple):
    """One route of the gateway and where it goes. ``target`` is empty where the backend has the same path."""

    rule: str
    service: str = "chat"
    target: str = ""
    open: bool = False
    streams: bool = False
    may_stream: bool = False
    """A body with ``"stream": true`` asks for a stream, which the release wraps in JSON."""
    copies_length: bool = False
    """The release forwards the headers of this POST without its body: one that has a body cannot be sent on."""


V02 = "/api/v0.2"
V1 = "/api/v1"

FORWARDS = (
    Forward(f"GET {V02}/", open=True),
    Forward(f"GET {V02}/health", open=True),
    Forward(f"POST {V02}/chat", may_stream=True),
    Forward(f"GET {V02}/chat/status"),
    Forward(f"DELETE {V02}/chat/history"),
    Forward(f"POST {V02}/chat/reload-prompt", copies_length=True),
    Forward(f"POST {V02}/chat/stream", streams=True),
    Forward(f"POST {V02}/chat/stream/cache/invalidate", copies_length=True),
    Forward(f"GET {V02}/chat/stream/cache/status"),
    Forward(f"GET {V02}/chat/stream/status"),
    Forward(f"DELETE {V02}/chat/stream/history"),
    Forward(f"GET {V02}/chat/stream/models"),
    Forward(f"GET {V02}/chat/stream/models/performance"),
    Forward(f"GET {V02}/providers", target=f"{V02}/providers/"),
    Forward(f"GET {V02}/providers/{{provider}}"),
    Forward(f"GET {V02}/providers/{{provider}}/models"),
    Forward(f"GET {V02}/providers/{{provider}}/health"),
    Forward(f"GET {V02}/providers/stats"),
    Forward(f"GET {V02}/providers/{{provider}}/stats"),
    Forward(f"GET {V02}/models", target=f"{V02}/models/"),
    Forward(f"GET {V02}/models/{{model_id}}"),
    Forward(f"GET {V02}/models/capabilities"),
    Forward(f"GET {V02}/models/priorities"),
    Forward(f"GET {V02}/models/contexts"),
    Forward(f"GET {V02}/assets/pricing/current"),
    Forward(f"GET {V02}/assets/pricing/analytics"),
    Forward(f"POST {V02}/assets/pricing/update"),
    Forward(f"GET {V02}/assets/pricing/providers"),
    Forward(f"POST {V02}/assets/pricing/cost-estimator/estimate"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/dalle-tiers"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/meshy-packages"),
    Forward(f"GET {V02}/assets/pricing/cost-estimator/provider-comparison"),
    Forward(f"GET {V02}/usage/current"),
    Forward(f"GET {V02}/usage/history"),
    Forward(f"POST {V02}/usage/log"),
    Forward(f"GET {V02}/usage/limits"),
    Forward(f"GET {V02}/usage/billing/current"),
    Forward(f"GET {V02}/usage/reports/monthly"),
    Forward(f"GET {V02}/personas", target=f"{V02}/personas/"),
    Forward(f"POST {V02}/personas", target=f"{V02}/personas/"),
    Forward(f"GET {V02}/personas/current"),
    Forward(f"GET {V02}/personas/{{persona_id}}"),
    Forward(f"PUT {V02}/personas/{{persona_id}}"),
    Forward(f"DELETE {V02}/personas/{{persona_id}}"),
    Forward(f"POST {V02}/personas/set"),
    Forward(f"POST {V02}/personas/initialize-default", copies_length=True),
    Forward(f"GET {V02}/performance/summary"),
    Forward(f"GET {V02}/performance/providers"),
    Forward(f"GET {V02}/performance/stages"),
    Forward(f"GET {V02}/performance/live"),
    Forward(f"GET {V02}/performance/health"),
    Forward(f"DELETE {V02}/performance/reset"),
    Forward(f"POST {V1}/chat", target="/chat/"),
    Forward(f"POST {V1}/chat/completions", target="/chat/"),
    Forward(f"GET {V1}/chat/status", target="/chat/status"),
    Forward(f"DELETE {V1}/chat/history", target="/chat/history"),
    Forward(f"POST {V1}/chat/reload-prompt", target="/chat/reload-prompt", copies_length=True),
    Forward(f"GET {V1}/chat/personas", target="/chat/personas"),
    Forward(f"POST {V1}/chat/personas", target="/chat/personas"),
    Forward(f"GET {V1}/assets", "asset"),
    Forward(f"POST {V1}/assets/generate", "asset", copies_length=True),
    Forward(f"GET {V1}/assets/{{asset_id}}", "asset"),
    Forward(f"POST {V1}/auth/validate", "auth", "/auth/validate", open=True),
    Forward(f"POST {V1}/auth/refresh", "auth", "/auth/refresh", open=True),
    Forward(f"POST {V1}/auth/register", "auth", "/auth/register", open=True),
    Forward(f"POST {V1}/auth/login", "auth", "/auth/login", open=True),
    Forward(f"GET {V1}/filesystem", target="/filesystem"),
    Forward(f"POST {V1}/filesystem/read", target="/filesystem/read"),
)

REPAIRED_TARGETS = {f"GET {V1}/assets": f"{V1}/assets/"}
"""Where the platform without its defects sends what the release sends to a path that the backend does not serve."""
