#!/bin/sh
# After an installation and after an upgrade. Nothing is started or restarted: migrations come first.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers greenroom.conf
elif ! getent passwd greenroom >/dev/null; then # without systemd: as sysusers.conf says
  useradd --system --home-dir /var/lib/greenroom --no-create-home --shell /usr/sbin/nologin --comment Greenroom greenroom
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
