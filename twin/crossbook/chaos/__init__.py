"""`crossbook chaos`: an exchange of two of each service under load, faults by a seed, and the audit at its end."""
