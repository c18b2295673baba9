"""What a job's processor can do: 16-bit arithmetic and threads."""
