"""S3's protocol, one noun a file; the objects themselves live in `gtseg.local.storage.objects`."""
