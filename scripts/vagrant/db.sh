#!/bin/sh
# Makes a Debian machine what the lab calls db. Written by scripts/vagrant/roles.py: change
# src/remedy/lab/roles.py, and run that again.
set -eu
done=/var/lib/remedy-role-db
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
    acl attr e2fsprogs python3 mariadb-server
rm -f /usr/sbin/policy-rc.d

install -D -m 644 /dev/stdin /etc/mysql/mariadb.conf.d/60-lab.cnf <<'END'
[mysqld]
bind-address = 0.0.0.0
skip_name_resolve = ON
log_bin = binlog
max_binlog_size = 1M
log_slave_updates = ON
gtid_strict_mode = ON
innodb_log_file_size = 8M
innodb_buffer_pool_size = 32M
innodb_flush_log_at_trx_commit = 2
key_buffer_size = 1M
END

install -D -m 644 /dev/stdin /etc/systemd/system/mariadb.service.d/server-id.conf <<'END'
[Service]
ExecStartPre=/bin/sh -ec 'id=$(hostname -I | cut -d. -f4 | tr -dc 0-9);   printf "[mysqld]\nserver_id = %%s\nreport_host = %%s\n" "$id" "$(hostname)" > /run/mysqld/lab.cnf'
END

printf '!include /run/mysqld/lab.cnf
' >> /etc/mysql/mariadb.conf.d/60-lab.cnf
rm -rf /var/lib/mysql/*
install -d -o mysql /run/mysqld
: > /run/mysqld/lab.cnf
mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket > /dev/null
rm -f /var/lib/mysql/binlog.*
rm -r /run/mysqld
systemctl enable -q mariadb

# As a boot does it: folders in /run, and the services.
systemctl daemon-reload
systemd-tmpfiles --create || :
systemctl start multi-user.target
: > "$done"
