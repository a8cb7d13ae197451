"""What the commands of ``python -m datransnet`` do, once their arguments are read: one file a command."""
