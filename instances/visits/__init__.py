"""Going to a container: the bell, the fair queue, the dial, the lease, and one connection for all errands."""
