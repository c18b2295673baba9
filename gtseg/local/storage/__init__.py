"""Where the embedded AWS keeps objects and state."""
