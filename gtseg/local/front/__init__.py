"""HTTP entry point of the embedded AWS: routing, signatures, errors, limits."""
