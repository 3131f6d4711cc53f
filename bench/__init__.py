"""Measurements, each printing one JSON object on its last line."""
