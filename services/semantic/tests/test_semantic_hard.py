"""Hard filters on 5,000 products and 1,000 random requests, against a plain scan."""

from __future__ import annotations

import random

import numpy as np
from semantic_world import HARD, make_catalogue, plain_scan, random_request

from semantic_service import criteria, filter, mapping, products, snapshot, styles, vocabulary
from semantic_service.criteria import Asked
from semantic_service.ports import Digests, Model, StoredProduct


def test_a_thousand_random_requests() -> None:
    catalogue = make_catalogue(5_000)
    words = vocabulary.load()
    book = styles.load(words)
    vector = np.ones(1, dtype=np.float32)
    held = snapshot.build(
        [StoredProduct(one, Digests("", ""), vector, "") for one in products.read(catalogue, mapping.load()).products],
        model=Model("none", 1),
        style_vectors=np.ones((len(book), 1), dtype=np.float32),
        vocabulary=words,
        book=book,
        synced_at=None,
    )
    rng = random.Random(5)
    for _ in range(1_000):
        request = random_request(rng, catalogue)
        asked = Asked(
            color=request.get("color", ""),
            category=request.get("category", ""),
            audience=request.get("target_audience", ""),
            min_price=request.get("min_price"),
            max_price=request.get("max_price"),
            start_date=request.get("start_date", ""),
            end_date=request.get("end_date", ""),
            hidden=request.get("hidden_ids", ()),
            in_stock=request.get("in_stock", False),
            color_hard=request.get("color_strictness") == HARD,
            audience_hard=request.get("audience_strictness") == HARD,
        )
        passed = filter.sift(held, criteria.checked(asked, words))
        found = [held.products[row].product.id for row in np.flatnonzero(passed.mask)]
        assert found == plain_scan(catalogue, request), request
