"""Stand-ins where weights are or are not on the machine: categories by CLIP, texts by their words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1.analyzer_pb2_grpc import AnalyzerServiceStub
from jewelry.type.v1 import type_pb2
from PIL import Image
from transformers import CLIPConfig, CLIPModel

import marketplaces
from analyzer_service import extras
from analyzer_service.__main__ import service
from analyzer_service.adapters import local_text
from analyzer_service.adapters.base import Task
from analyzer_service.adapters.clip_category import ClipCategory, installed
from analyzer_service.adapters.lexical_text import LexicalEmbedder
from analyzer_service.adapters.local import LocalAnalyzer
from analyzer_service.adapters.local_text import LocalEmbedder
from analyzer_service.analysis import Analyzer, RawView
from analyzer_service.prompts import CATEGORIES
from analyzer_service.settings import Settings
from analyzer_service.wiring import Wired, wire
from servicekit import client, errors
from servicekit.testing import serve_locally

PHOTOS = Path(__file__).resolve().parents[3] / "samples" / "photos"


def photo(name: str = "ALY-EAR-004") -> Image.Image:
    with Image.open(PHOTOS / f"{name}.jpg") as picture:
        return picture.convert("RGB")


# -- texts ------------------------------------------------------------------------------------


async def test_words_are_compared_where_no_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_text, "packaged", lambda: None)
    wired = wire(Settings(_env_file=None, google_api_key=None, google_api_keys=None, clip_model="/nowhere"))
    async with serve_locally(service(wired)) as channel:
        stub = AnalyzerServiceStub(channel)
        texts = ["gold earrings with red stones", "Earring, gold: red stone", "a diesel locomotive", "!!!", "é 金 👂"]
        reply = await client.call(stub.EmbedTexts, pb.EmbedTextsRequest(texts=texts), timeout=30)
    vectors = np.array([embedding.values for embedding in reply.embeddings])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]
    assert (reply.model_id, reply.adapter.name, reply.adapter.embedded) == ("lexical-hash-1@512", "lexical", True)
    assert "not by their meaning" in reply.adapter.detail


async def test_a_folder_that_was_asked_for_is_not_replaced(tmp_path: Path) -> None:
    wired = wire(Settings(_env_file=None, google_api_key=None, google_api_keys=None, text_model=tmp_path))
    with pytest.raises(errors.FailedPrecondition) as caught:
        await wired.warm_up()
    assert caught.value.reason == "TEXT_MODEL_MISSING"


async def test_word_vectors_are_the_same_everywhere() -> None:
    (one,), _ = await LexicalEmbedder().embed(["gold"], Task.QUERY)
    (again,), _ = await LexicalEmbedder().embed(["gold"], Task.DOCUMENT)
    assert np.array_equal(one, again)


# -- categories -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP of random weights with a tokenizer of letters: the real loading code, without a download."""
    folder = tmp_path_factory.mktemp("clip")
    config = CLIPConfig(
        text_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "vocab_size": 600, "bos_token_id": 598, "eos_token_id": 599, "projection_dim": 16},
        vision_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
                       "patch_size": 32, "projection_dim": 16},
        projection_dim=16,
    )  # fmt: skip
    torch.manual_seed(3)
    CLIPModel(config).save_pretrained(folder)
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": 598, "<|endoftext|>": 599}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


async def test_a_checkpoint_on_this_machine_is_used(checkpoint: Path) -> None:
    assert installed(str(checkpoint)) == checkpoint
    detector = ClipCategory(checkpoint)
    told = await detector.category([photo(), photo("ALY-NEC-001")])
    assert told in (*CATEGORIES, "")
    assert told == await detector.category([photo(), photo("ALY-NEC-001")])
    shares = detector._shares([photo()])
    assert shares.shape == (5,)
    assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    assert installed("") is None
    assert installed(str(tmp_path)) is None
    assert installed("nobody/has-this-model") is None
    assert installed("not a hub id: at all") is None


async def test_a_folder_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(errors.FailedPrecondition) as caught:
        await ClipCategory(tmp_path).load()
    assert caught.value.reason == "CHECKPOINT_MISSING"


class Told:
    """A detector that always says the same."""

    model_id = "told"

    def __init__(self, category: str) -> None:
        self._category = category

    async def load(self) -> None:
        """Nothing."""

    async def category(self, pictures: Sequence[Image.Image]) -> str:
        assert pictures
        return self._category


async def test_a_picture_that_is_not_what_the_seller_said(tmp_path: Path) -> None:
    analyzer = Analyzer(LocalAnalyzer(Told("ring")), LocalEmbedder())

    async def nothing() -> None:
        """Nothing."""

    wired = Wired(analyzer, nothing, nothing, extras.local(Settings(_env_file=None, data_dir=tmp_path)))
    picture = type_pb2.Picture(content=(PHOTOS / "ALY-EAR-004.jpg").read_bytes())
    async with serve_locally(service(wired)) as channel:
        stub = AnalyzerServiceStub(channel)
        request = pb.AnalyzeRequest(pictures=[picture], marketplace_code="mee_nec")
        reply = await client.call(stub.Analyze, request, timeout=60)
        assert reply.detected_category == "ring"
        assert "the picture shows a ring, not a necklace" in reply.warnings
        caption = await client.call(
            stub.Caption, pb.CaptionRequest(pictures=[picture], product_type="earrings"), timeout=60
        )
        assert caption.product_type == "ring"
        assert "the picture shows a ring, not earrings" in caption.warnings
        assert "categories by told" in caption.adapter.detail


async def test_the_marketplaces_rules_for_pictures() -> None:
    analyzer = Analyzer(LocalAnalyzer(), LocalEmbedder())
    content = (PHOTOS / "ALY-EAR-005.jpg").read_bytes()
    name = marketplaces.load("ama_ear").name
    amazon = await analyzer.analyze([RawView(content)], "ama_ear", {}, "")
    meesho = await analyzer.analyze([RawView(content)], "mee_ear", {}, "")
    assert any(f"{name} wants a white background" in warning for warning in amazon.warnings)
    assert any(f"{name} wants the product to span 85%" in warning for warning in amazon.warnings)
    assert not any("wants" in warning for warning in meesho.warnings)
