"""S3 protocol of the embedded AWS, one module per resource; the objects are in `gtseg.local.storage`."""
