"""SQLite files: written by one thread each, off the event loop; what plugins too may store."""
