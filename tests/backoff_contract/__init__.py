"""What every built-in strategy promises, whichever `backoff` library is installed below it."""
