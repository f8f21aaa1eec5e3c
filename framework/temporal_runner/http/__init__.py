"""HTTP in the runner's own event loop: what the admin endpoint and HTTP event sources share.

    Engine -> Connection -> Reader -> HttpRequest -> Port -> application -> HttpAnswer

llhttp parses (by httptools, which is imported when a port opens); what is ours is the order of
answers, and bounds on what a client may hold.
"""

from temporal_runner.http.messages import Application, HttpAnswer, HttpRequest, problem
from temporal_runner.http.server import HttpServer

__all__ = ["Application", "HttpAnswer", "HttpRequest", "HttpServer", "problem"]
