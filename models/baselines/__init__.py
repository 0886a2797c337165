"""The systems that EMMA is compared with, and EMMA itself, behind one small interface."""
