# Pipelines, here-documents, substitution, traps, coprocesses.
seq 1 100 | grep 7 | sort -r | head -3
printf '%s\n' b a c | sort | tr a-z A-Z
set -o pipefail; false | true; echo "$? ${PIPESTATUS[*]}"; set +o pipefail
yes | head -1000 | wc -l; echo "${PIPESTATUS[*]}"
cat <<E1; cat <<-'E2'
here $((1 + 2)) $(echo sub)
E1
	quoted $x
	E2
cat <<<"string"
head -c 200000 /dev/zero | tr '\0' x >big; v=$(cat big); echo ${#v}; cat <<<"$v" | wc -c
x=$({ echo one; echo two >&2; } 2>&1); echo "$x"
echo `echo back \`echo nested\``
trap 'echo usr1' USR1; kill -USR1 $$; trap - USR1
trap 'echo err $?' ERR; false; trap - ERR
trap 'echo debug $BASH_COMMAND' DEBUG; true; trap - DEBUG
trap '' TERM; kill -TERM $$; (kill -TERM $BASHPID; echo ignored); trap - TERM
(trap 'echo term; exit 5' TERM; kill -TERM $BASHPID; echo no); echo $?
bash -c 'kill -9 $$'; echo $?
bash -c 'kill -SEGV $$'; echo $?
sh -c 'kill -PIPE $$'; echo $?
coproc C { while read -r l; do echo "co:$l"; done; }
echo hello >&${C[1]}; read -r r <&${C[0]}; echo "$r"
eval "exec ${C[1]}>&-"; wait
diff <(seq 1 5) <(seq 1 2 5); echo $?
tee >(wc -l >count) < <(seq 9) | tail -1; until [ -s count ]; do sleep 0.05; done; cat count
mapfile -t a < <(printf 'x\ny\n'); echo ${#a[@]} "${a[1]}"
for i in 1 2 3; do echo $i; done | while read -r v; do echo "v$v"; done
ulimit -n; umask
exec 4>&1; echo four >&4; exec 4>&-
exec 5<>file; echo text >&5; cat file; exec 5>&-
timeout 0.2 sleep 50; echo $?
{ sleep 0.1; echo bg; } & wait $!; echo $?
(exit 3) & wait $!; echo $?
sleep 100 & p=$!; kill $p; wait $p; echo $?
f() { local n=$1; [ "$n" -le 0 ] || { (f $((n - 1))); echo -n "$n "; }; }; f 12; echo
find /proc/self/fd -maxdepth 0 | wc -l; echo * | wc -w; mkdir -p a/b/c; cd a/b && pwd -P | sed 's/.*\/a/a/'; cd - >/dev/null
printf '%s\n' {1..5} | xargs -P 3 -n 1 sh -c 'echo $0' | sort; seq 20 | xargs -n 7 echo
export V=1; env | grep ^V=; (exec -a name bash -c 'echo $0')
trap 'echo exit $?' EXIT; trap -p; exit 6
