"""Datasets: the catalogue, fetching, layouts, splits, batches, and synthetic scenes."""

from datransnet.data.catalogue import CATALOGUE, Card, card_named
from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import Manifest

__all__ = ["CATALOGUE", "Card", "Images", "Manifest", "card_named", "load_part"]
