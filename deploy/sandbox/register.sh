#!/bin/sh
# Makes the sandbox's containers known to a running portal, with an admin and an account to push to them.
# Running it again changes nothing.
set -eu

awk 'FNR > 1 || NR == 1' /campaign/*/inventory.csv >/tmp/inventory.csv
python manage.py import_inventory /tmp/inventory.csv
python manage.py create_admin --if-none --name admin --password-file /run/secrets/sandbox_admin

instances=$(awk -F, 'NR > 1 { print $1 }' /tmp/inventory.csv | sort -u)
# shellcheck disable=SC2086  # one argument for each instance
assign() { python manage.py assign Sandbox $instances; }
if ! assign; then # the first time there is no account
    python manage.py add_account Sandbox --from-json /run/secrets/sandbox_account --no-check
    assign
fi
