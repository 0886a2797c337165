"""EMMA in PyTorch: the recall tower, the classifier and their losses."""
