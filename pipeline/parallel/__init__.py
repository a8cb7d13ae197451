"""Many trainings at once, with Ray."""
