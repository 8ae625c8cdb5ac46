#!/bin/sh
# deb calls this with "remove" or "upgrade", rpm with the number of versions that stay: an upgrade stops nothing.
set -e
if { [ "$1" = remove ] || [ "$1" = 0 ]; } && [ -d /run/systemd/system ]; then
  systemctl disable --now greenroom-api.service greenroom-worker.service || true
fi
