"""Training and prediction: one loop for every network, loss and dataset."""
