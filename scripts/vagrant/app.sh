#!/bin/sh
# Makes a Debian machine what the lab calls app. Written by scripts/vagrant/roles.py: change
# src/remedy/lab/roles.py, and run that again.
set -eu
done=/var/lib/remedy-role-app
[ ! -e "$done" ] || exit 0
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# No service starts before it is configured.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
apt-get -q update
apt-get -q -y install --no-install-recommends \
    systemd systemd-sysv dbus cron logrotate openssh-server sudo opendoas \
    ca-certificates iproute2 iputils-ping netbase procps psmisc lsof less \
    acl attr e2fsprogs python3 rsyslog nginx-light
rm -f /usr/sbin/policy-rc.d

# As a boot does it: folders in /run, and the services.
systemctl daemon-reload
systemd-tmpfiles --create || :
systemctl start multi-user.target
: > "$done"
