# Runs the scripts that it is given, each in an empty directory of its own, and
# prints what each wrote and its status.
here=$(cd "$(dirname "$0")" && pwd)
ulimit -Sn 1024
umask 022
for script; do
	d=$(mktemp -d)
	echo "=== $script"
	(
		cd "$d" || exit
		case $script in
		*.dash) exec dash "$here/$script" ;;
		*.sh) exec bash "$here/$script" ;;
		*.pl) exec perl "$here/$script" ;;
		*.py) exec /usr/bin/python3 "$here/$script" ;;
		esac
	) </dev/null 2>&1
	echo "status $?"
	rm -rf "$d"
done
