"""SSH by fabric and paramiko, local processes, identities."""
