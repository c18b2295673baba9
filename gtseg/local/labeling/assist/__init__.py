"""While people label: a small model learns from their answers, suggests masks, and orders what comes next.

Options of a job are its tags: `gtseg:assist` = "true" suggests masks, `gtseg:order` = "helpful" hands out first what helps most. A
job without them behaves as Ground Truth's does.
"""
