"""What `import gtseg` offers: a thin, typed layer over the functions behind the commands."""
