"""Training jobs: channels, splits, requests, logs."""
