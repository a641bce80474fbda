"""Evaluation: metrics, comparison, gate."""
