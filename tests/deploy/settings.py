"""What the deployments' tests know of configs/prod.yaml: its parts and its variables."""

PARTS = {
    "document-processing-worker": "document-processing",
    "chat-session-worker": "chat-session",
    "root-orchestrator-worker": "root-orchestrator",
    "s3-event-listener": "s3-events",
    "azure-blob-listener": "azure-blobs",
    "webhook-listener": "webhook",
}
"""Services and workloads, by the part of the config that each runs."""

ENVIRONMENT = {
    "TEMPORAL_ADDRESS": "temporal:7233",
    "UPLOADS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads",
    "AZURE_STORAGE_CONNECTION_STRING": (
        "DefaultEndpointsProtocol=https;AccountName=some;AccountKey=c29tZQ==;"
        "EndpointSuffix=core.windows.net"
    ),
    "AZURE_EVENTS_QUEUE": "uploads",
    "WEBHOOK_SECRET": "some" * 8,
}
