"""Workers: the SDK's, run in this process or in processes of their own, and believed when seen."""
