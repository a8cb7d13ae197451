"""The blocks of the network, one family a file, named as in the paper."""
