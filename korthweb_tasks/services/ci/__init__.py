"""What the tasks of a pipeline do."""
