"""The offline job: read data, train, calibrate, evaluate, export, index."""
