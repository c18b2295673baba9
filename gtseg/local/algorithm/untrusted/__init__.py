"""Loading of files from untrusted sources within limits: model archives, weights, pictures."""
