"""What is kept on disk: events that wait for Temporal, and those that can never succeed."""
