"""How a container is reached: host keys, jump hosts, the portal's own key, and the allowed addresses."""
