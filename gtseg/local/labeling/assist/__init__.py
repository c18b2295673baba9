"""Assistance while labeling: a small model learns from the answers, suggests masks, and orders the remaining objects.

Tags of a job enable it: `gtseg:assist` = "true" suggests masks, `gtseg:order` = "helpful" hands out the most
informative objects first. A job without these tags behaves as in Ground Truth.
"""
