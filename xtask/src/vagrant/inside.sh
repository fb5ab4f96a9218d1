# Runs a command in a root that exists for as long as it runs: this system's /usr and /etc with
# unpacked packages over them. Called in a mount namespace of its own, so that nothing is left to
# unmount, whatever ends it.
# usage: inside.sh PACKAGES TREE EMPTY_FOLDER COMMAND...
set -eu
packages=$1 tree=$2 root=$3
shift 3
mount -t tmpfs tmpfs "$root"
cd "$root"
mkdir dev etc proc tmp tree usr var changes changes/usr changes/etc work work/usr work/etc
for folder in bin lib lib64 sbin; do
    ln -s "usr/$folder" "$folder"
done
for folder in usr etc; do
    mount -t overlay overlay -o \
        "lowerdir=$packages/$folder:/$folder,upperdir=changes/$folder,workdir=work/$folder" "$folder"
done
mount -t proc proc proc
mount --rbind /dev dev
mount --bind "$tree" tree
mount -o remount,bind,ro tree
export HOME=/tmp VAGRANT_CWD=/tree/vagrant VAGRANT_HOME=/tmp/home VAGRANT_DOTFILE_PATH=/tmp/state
exec chroot . "$@"
