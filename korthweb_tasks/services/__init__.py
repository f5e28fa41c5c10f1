"""What a task does, as a function: settings and cluster in, a report or data out."""
