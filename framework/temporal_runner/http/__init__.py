"""HTTP in the runner's own event loop: what the admin endpoint and HTTP event sources share.

    Engine -> Connection (aiohttp's protocol, bounded) -> HttpRequest -> Port -> application

aiohttp speaks HTTP/1.1 and is imported when a port opens; what is ours is a port that several
listeners share, and bounds on what a client may hold.
"""

from temporal_runner.http.messages import Application, HttpAnswer, HttpRequest, problem
from temporal_runner.http.server import HttpServer

__all__ = ["Application", "HttpAnswer", "HttpRequest", "HttpServer", "problem"]
