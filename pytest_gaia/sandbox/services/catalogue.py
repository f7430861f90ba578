"""The language models that the platform knows."""

from __future__ import annotations

from typing import NamedTuple


class Model(NamedTuple):
    """One model; prices in USD for a million tokens."""

    id: str
    name: str
    provider: str
    vendor: str
    capabilities: tuple[str, ...]
    max_tokens: int
    context_window: int
    input_price: float
    output_price: float
    ttft_ms: int
    """average time to the first token"""
    quality: float
    """from 0 to 1, as speed"""
    speed: float
    vr_suitable: bool
    description: str


_CHAT = ("chat", "streaming")
_TOOLS = (*_CHAT, "tool_calling")

HAIKU = Model(
    "claude-3-haiku-20240307", "Claude 3 Haiku", "claude", "anthropic", _CHAT,
    4096, 200_000, 0.25, 1.25, 180, 0.75, 0.95, True, "Fast model for short answers",
)  # fmt: skip
SONNET = Model(
    "claude-3-sonnet-20240229", "Claude 3 Sonnet", "claude", "anthropic", _TOOLS,
    4096, 200_000, 3.0, 15.0, 420, 0.88, 0.7, False, "Balanced model",
)  # fmt: skip
MINI = Model(
    "gpt-4o-mini", "GPT-4o Mini", "openai", "openai", _TOOLS,
    16_384, 128_000, 0.15, 0.6, 260, 0.82, 0.85, False, "Small model with tools",
)  # fmt: skip
OMNI = Model(
    "gpt-4o", "GPT-4o", "openai", "openai", (*_TOOLS, "vision"),
    16_384, 128_000, 2.5, 10.0, 480, 0.92, 0.65, False, "Model with tools and vision",
)  # fmt: skip

MODELS = (HAIKU, MINI, SONNET, OMNI)
STREAMED = (HAIKU, MINI)
"""the models that the streaming route chooses from"""
PROVIDERS = {"claude": "Anthropic Claude", "openai": "OpenAI"}


def of_provider(provider: str) -> tuple[Model, ...]:
    """Return the models of a provider, the default one first; none where the provider is unknown."""
    return tuple(model for model in MODELS if model.provider == provider)


def capabilities_of(models: tuple[Model, ...]) -> list[str]:
    """Return every capability that one of the models has, in the order of first mention."""
    return list(dict.fromkeys(capability for model in models for capability in model.capabilities))
