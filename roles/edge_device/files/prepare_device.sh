# Run inside the device as root. Lets one user in, with one key, and tells the device's host key.
# usage: prepare_device USER apply|check PUBLIC_KEY
set -eu
umask 022
user=$1 mode=$2 key=$3

changed() { # says what is not as wanted; true where it is to be changed
  echo "changed $1"
  [ "$mode" = apply ]
}

keep_file() { # PATH MODE CONTENT
  if [ "$(cat "$1" 2>/dev/null)" = "$3" ]; then return 1; fi
  changed "$1" || return 1
  printf '%s\n' "$3" >"$1.new"
  chmod "$2" "$1.new"
  mv "$1.new" "$1"
}

if ! id "$user" >/dev/null 2>&1 && changed "user $user"; then
  useradd --create-home --shell /bin/bash "$user"
fi
keep_file /etc/sudoers.d/verge 0440 "$user ALL=(ALL:ALL) NOPASSWD: ALL" || true

home=$(getent passwd "$user" | cut -d: -f6) || home=/nonexistent
if [ -d "$home" ] && ! [ -d "$home/.ssh" ] && changed "$home/.ssh"; then
  install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
fi
if keep_file "$home/.ssh/authorized_keys" 0600 "$key"; then
  chown "$user:$user" "$home/.ssh/authorized_keys"
fi

restart=no
if ! [ -e /etc/ssh/ssh_host_ed25519_key.pub ] && changed "host keys"; then
  ssh-keygen -q -A
  restart=yes
fi
if keep_file /etc/ssh/sshd_config.d/verge.conf 0644 "PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UseDNS no"; then
  restart=yes
fi
# A service that failed for want of host keys has to be forgiven before it may start again.
if [ "$restart" = yes ]; then
  systemctl reset-failed ssh.service 2>/dev/null || true
  systemctl restart ssh.service
fi
if [ -e /etc/ssh/ssh_host_ed25519_key.pub ]; then
  echo "host key $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
fi
