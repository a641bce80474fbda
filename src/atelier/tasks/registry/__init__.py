"""Versions of models and datasets: release, resolve, promote, verify, push, collect."""
