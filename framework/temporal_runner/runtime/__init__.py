"""What runs: connections, workers and listeners, each supervised, in one event loop."""
