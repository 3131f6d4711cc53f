"""Adapters: one pure file a wire format."""
