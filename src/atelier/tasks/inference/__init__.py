"""Inference: execution plan, backends, controls, output names, single pictures."""
