"""This machine: processes, files written whole, ports, progress, Ray, encoder weights, errors in one line."""
