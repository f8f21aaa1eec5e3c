"""The Azure source, against Azurite as a process."""
