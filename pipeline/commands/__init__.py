"""One file a verb of `python -m pipeline` that is no stage."""
