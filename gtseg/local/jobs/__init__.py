"""Infrastructure that training, tuning, hosting and transform jobs share: records, queue, processes, channels, tags."""
