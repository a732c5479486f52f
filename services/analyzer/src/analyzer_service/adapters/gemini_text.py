"""Gemini as embedder of texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from google.genai import types
from numpy.typing import NDArray

from analyzer_service.adapters.base import AdapterInfo, Task
from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.pricing import Cost

# The interface takes at most this many texts in one request.
_BATCH = 100
# gemini-embedding-2 knows no task type: the task stands in the text
# (ai.google.dev/gemini-api/docs/embeddings; left out, retrieval is much worse, see embeddings-benchmark/mteb 4851).
_PREFIXES = {Task.QUERY: "task: search result | query: ", Task.DOCUMENT: "title: none | text: "}
_TASK_TYPES = {Task.QUERY: "RETRIEVAL_QUERY", Task.DOCUMENT: "RETRIEVAL_DOCUMENT"}


class GeminiEmbedder:
    """Embeds texts with a Gemini model.

    Args:
        connection: To Gemini.
        watch: What is known of the models.
        model: Model id.
        size: Dimensions of a vector.
    """

    def __init__(self, connection: GeminiConnection, watch: ModelWatch, *, model: str, size: int) -> None:
        self._connection = connection
        self._watch = watch
        self._model = model
        self._size = size
        self._by_text = not model.startswith(("gemini-embedding-001", "text-embedding"))

    @property
    def model_id(self) -> str:
        """Model and size: vectors of two sizes cannot be compared either."""
        return f"{self._model}@{self._size}"

    async def embed(self, texts: Sequence[str], task: Task) -> tuple[NDArray[np.float32], Cost]:
        """Unit vectors; raises as `GeminiConnection.embed`."""
        config = types.EmbedContentConfig(output_dimensionality=self._size)
        if not self._by_text:
            config.task_type = _TASK_TYPES[task]
        prefix = _PREFIXES[task] if self._by_text else ""
        # One Content per text: given plain strings, the client merges them into one embedding.
        contents = [types.Content(parts=[types.Part(text=prefix + text)]) for text in texts]
        batches = [contents[start : start + _BATCH] for start in range(0, len(contents), _BATCH)]
        results = await asyncio.gather(*(self._connection.embed(self._model, batch, config) for batch in batches))
        vectors = np.array([vector for part, _ in results for vector in part], dtype=np.float32)
        # Shortened vectors are not of unit length.
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors, sum((cost for _, cost in results), Cost())

    async def info(self) -> AdapterInfo:
        """Who answers, with what is known of the model."""
        detail, end = self._watch.detail(self._model), self._watch.ends(self._model)
        return AdapterInfo("text_embedding", "gemini", False, self.model_id, detail, end)
