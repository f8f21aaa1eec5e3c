"""The fault suite: what is promised, while its processes are killed and its network fails."""
