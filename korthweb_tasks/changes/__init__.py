"""What a pull request changes, and what of it somebody will notice: pure."""
