"""What Flux looks after: its objects, their state, and why something is not ready."""
