"""What options are written in: durations, sizes, secrets; and what of them may be shown."""
