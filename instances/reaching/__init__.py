"""How a container is reached: its host keys, jump hosts, the portal's own key, which addresses are allowed."""
