"""What a trained network is worth: stored score maps, and what is measured on them."""
