"""The front door of the embedded AWS: routing, signatures, errors, limits."""
