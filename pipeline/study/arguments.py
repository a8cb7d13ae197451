"""A network's arguments, as JSON holds them."""

from typing import Any

Arguments = dict[str, Any]
"""Name and keyword arguments of a network, as JSON holds them."""
