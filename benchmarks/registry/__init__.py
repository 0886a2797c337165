"""What the registry and its index cost with many relations and several services."""
