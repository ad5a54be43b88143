"""The portal's signature: what leaves it can be checked outside, with the stock `ssh-keygen -Y verify`."""
