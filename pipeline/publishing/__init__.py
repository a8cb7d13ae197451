"""What makes a study checkable by strangers: its seal, its verification, and its export with metadata."""
