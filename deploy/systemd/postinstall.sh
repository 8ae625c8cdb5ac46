#!/bin/sh
# After an installation and after an upgrade. Nothing is started or restarted: migrations come first.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers greenroom.conf
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
