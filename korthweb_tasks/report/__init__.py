"""What happened, as text, JSON, JUnit and a page."""
