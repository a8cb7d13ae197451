"""What the project is measured against, and by what."""
