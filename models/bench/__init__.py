"""What is measured: `emma bench`."""
