"""HTTP in the runner's own event loop: what the admin endpoint and HTTP event sources share.

uvicorn is imported when a server starts, so that a runner without one does not load it.
"""

from temporal_runner.serving.server import HttpServer

__all__ = ["HttpServer"]
