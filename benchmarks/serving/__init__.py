"""What the service costs and how it bears load, measured side by side in one run."""
