"""The search: points of the space, suggested by Optuna and tried by Ray Tune."""
