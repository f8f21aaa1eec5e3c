"""The examples' workers, as a config has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from temporalio.client import Client
from temporalio.worker import Worker

from chat_session.activities import find_reply
from chat_session.workflows import ChatSession
from document_processing import activities
from document_processing.workflows import ProcessDocument
from root_orchestrator.activities import result_of, send_chat_message
from root_orchestrator.workflows import RootOrchestrator


def documents_worker(client: Client, threads: ThreadPoolExecutor) -> Worker:
    """The worker of document-processing."""
    return Worker(
        client,
        task_queue="document-processing",
        workflows=[ProcessDocument],
        activities=[
            activities.read_document,
            activities.index_document,
            activities.describe_document,
            activities.write_summary,
            activities.search_passages,
        ],
        activity_executor=threads,
    )


def chat_worker(client: Client) -> Worker:
    """The worker of chat-session."""
    return Worker(
        client, task_queue="chat-session", workflows=[ChatSession], activities=[find_reply]
    )


def orchestrator_worker(client: Client) -> Worker:
    """The worker of root-orchestrator."""
    return Worker(
        client,
        task_queue="root-orchestrator",
        workflows=[RootOrchestrator],
        activities=[send_chat_message, result_of],
    )
