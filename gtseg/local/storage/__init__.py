"""Objects and state of the embedded AWS: object store, databases, caches, backups."""
