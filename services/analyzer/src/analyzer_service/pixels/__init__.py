"""What can be measured in the pixels of a product photo, without a model."""

from analyzer_service.pixels.facts import Facts, measure, merge
from analyzer_service.pixels.metals import Metal
from analyzer_service.pixels.quality import Quality
from analyzer_service.pixels.stones import Stones

__all__ = ["Facts", "Metal", "Quality", "Stones", "measure", "merge"]
