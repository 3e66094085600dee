"""All that is compiled: CONTRIBUTING.md has the map."""
