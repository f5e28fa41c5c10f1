"""What the approaches have in common."""
