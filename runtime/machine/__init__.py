"""Inspection of this machine, for `maskrt doctor`."""
