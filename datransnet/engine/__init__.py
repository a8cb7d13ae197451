"""Training and prediction: one loop for every network, loss and dataset."""

from datransnet.engine.fit import fit
from datransnet.engine.predict import predict, score_images
from datransnet.engine.recipe import Recipe

__all__ = ["Recipe", "fit", "predict", "score_images"]
