"""Events as CloudEvents describe them: read from JSON, checked, and told apart."""
