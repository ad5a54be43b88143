"""The pages of rollouts and pushes, and what they share with those who start one."""
