"""Tests of the webhook source."""
