"""The catalogue of models over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.sandbox.services.app import HttpError
from pytest_gaia.sandbox.services.catalogue import MODELS, Model, capabilities_of

if TYPE_CHECKING:
    from pytest_gaia.sandbox.services.app import Request, Router


def add_models(router: Router, *, fixed: bool) -> None:
    """Add the routes. The release lacks the three named lists: their names are taken for models."""
    base = "/api/v0.2/models"
    router.add(f"GET {base}/", models)
    if fixed:
        router.add(f"GET {base}/capabilities", capabilities)
        router.add(f"GET {base}/priorities", priorities)
        router.add(f"GET {base}/contexts", contexts)
    router.add(f"GET {base}/{{model_id}}", model)


async def models(request: Request) -> object:
    """List the models of one ``provider`` or ``capability``, or all."""
    provider, capability = request.query.get("provider"), request.query.get("capability")
    found = [
        one
        for one in MODELS
        if provider in (None, one.provider) and (capability is None or capability in one.capabilities)
    ]
    listed = [{**summary(one), "provider": one.provider} for one in found]
    return {"models": listed, "total": len(listed), "filters": {"provider": provider, "capability": capability}}


async def model(request: Request) -> object:
    """Describe one model. 404 for one that is unknown."""
    wanted = request.params["model_id"]
    for one in MODELS:
        if one.id == wanted:
            return _details(one)
    raise HttpError(404, f"Model not found: {wanted}")


async def capabilities(request: Request) -> object:
    """List what models can do."""
    found = capabilities_of(MODELS)
    return {"capabilities": found, "total": len(found)}


async def priorities(request: Request) -> object:
    """List what a chat request may put first."""
    return {"priorities": ["speed", "quality", "balanced", "vr", "cost"], "total": 5}


async def contexts(request: Request) -> object:
    """List what a chat request may be about."""
    found = ["greeting", "conversation", "technical", "creative", "vr", "emergency", "multimodal"]
    return {"contexts": found, "total": len(found)}


def summary(one: Model) -> dict[str, object]:
    """Return what every list of models says of one."""
    return {
        "id": one.id,
        "name": one.name,
        "capabilities": list(one.capabilities),
        "max_tokens": one.max_tokens,
        "context_window": one.context_window,
    }


def _details(one: Model) -> dict[str, object]:
    return {
        **summary(one),
        "provider": one.provider,
        "cost_per_input_token": one.input_price / 1e6,
        "cost_per_output_token": one.output_price / 1e6,
        "avg_response_time_ms": one.ttft_ms,
        "quality_score": one.quality,
        "speed_score": one.speed,
        "description": one.description,
        "is_deprecated": False,
        "supports_system_prompt": True,
        "supports_temperature": True,
        "supports_streaming": "streaming" in one.capabilities,
    }
