"""The web server in a container: threads, no files of its own, and logs without queries or referrers."""

from portal.management.commands.start import ACCESS_LOG

bind = "0.0.0.0:8000"  # inside the container; docker-compose.yml says who may reach it
worker_class = "gthread"
workers = 2
threads = 8
control_socket_disable = True
worker_tmp_dir = "/dev/shm"  # noqa: S108  # the heartbeat file; a disk would block it
accesslog = "-"
access_log_format = ACCESS_LOG
