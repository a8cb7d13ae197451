"""One training: what it is, what is known of it, and how it is executed."""
