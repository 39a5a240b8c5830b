"""Bad inputs by the thousand: `make fuzz MINUTES=60`."""
