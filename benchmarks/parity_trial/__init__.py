"""Faults of many kinds planted in an export, correct files made otherwise, and what `maskrt parity` says."""
