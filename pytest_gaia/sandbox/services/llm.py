"""The stand-in for the language models: the same message always gives the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_gaia.sandbox.services.app import HttpError
from pytest_gaia.sandbox.services.catalogue import HAIKU, MODELS, OMNI, Model, of_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS_IN_CHUNK = 4


class Completion(NamedTuple):
    """One answer of a model."""

    model: Model
    reasoning: str
    text: str
    input_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def milliseconds(self) -> int:
        """How long the model would have taken."""
        return self.model.ttft_ms + 5 * self.output_tokens

    def chunks(self) -> list[str]:
        """Return the text in the pieces in which it is streamed: joined they are the text, the last is empty."""
        words = self.text.split(" ")
        pieces = [" ".join(words[start : start + WORDS_IN_CHUNK]) for start in range(0, len(words), WORDS_IN_CHUNK)]
        return [*(f"{piece} " for piece in pieces[:-1]), pieces[-1], ""]


def complete(wish: Mapping[str, object]) -> Completion:
    """Answer a chat request. Raises ``HttpError`` 500 for a model, or a provider, that there is none of."""
    model, reasoning = _choose(wish)
    message = str(wish["message"])
    text = f"Hello, this is Mu. You said: {message}"
    return Completion(model, reasoning, text, _tokens(message), _tokens(text))


def _choose(wish: Mapping[str, object]) -> tuple[Model, str]:
    wanted, provider = wish.get("model"), wish.get("provider")
    if wanted:
        named = [model for model in MODELS if model.id == wanted]
        if not named:
            raise HttpError(500, f"No provider found for model: {wanted}")
        return named[0], "Model asked for"
    if provider:
        offered = of_provider(str(provider))
        if not offered:
            raise HttpError(500, f"No provider found for model: default of {provider}")
        return offered[0], "Provider asked for"
    if wish.get("priority") == "quality":
        return OMNI, "Best quality"
    return HAIKU, "Fastest model for a short message"


def _tokens(text: str) -> int:
    """Return about as many tokens as a model would count: one for four characters."""
    return max(1, len(text) // 4)
