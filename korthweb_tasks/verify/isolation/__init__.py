"""Is one tenant closed to another? Attempts from outside, from inside, by rights and from home."""
