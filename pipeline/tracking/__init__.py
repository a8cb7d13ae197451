"""What MLflow is told, and how. Nothing outside this room calls MLflow."""
