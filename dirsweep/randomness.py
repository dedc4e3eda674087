"""Seeds by purpose: every draw of a trial has a key of its own (METHOD section 1, Randomness).

A draw depends on its key (seed, stage, epoch, purpose ...) and on nothing drawn before it, so a
resumed or forked trial needs no saved generator state, and a term that is switched off shifts no
other draw.
"""

import hashlib


def seed_of(seed: int, *key: str | int) -> int:
    """A 63-bit seed for one purpose of one trial, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, (seed, *key))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
