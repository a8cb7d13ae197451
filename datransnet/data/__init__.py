"""Datasets: the catalogue, fetching, layouts, splits, batches, and synthetic scenes."""
