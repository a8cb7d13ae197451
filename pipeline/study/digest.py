"""A short name for plain content: the same content always has the same name."""

import hashlib
import json


def digest_of(content: object) -> str:
    """16 hex digits of the canonical JSON of something plain."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
