"""Events as CloudEvents describe them: read, told apart, and never looser than JSON is."""
