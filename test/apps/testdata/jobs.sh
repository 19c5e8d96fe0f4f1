# Job control without a terminal.
set -m
gone() { while kill -0 "$1" 2>/dev/null; do sleep 0.02; done; }
state() { until read -r _ _ s _ <"/proc/$1/stat" && [ "$s" = "$2" ]; do sleep 0.02; done; }
sleep 1000 & a=$!; sleep 1001 & b=$!; sleep 1002 & c=$!
jobs
kill %1; gone $a; jobs
kill -STOP %2; state $b T; jobs; bg %2; state $b S; jobs
kill %+; kill %2; gone $b; gone $c; jobs
sleep 0.2 | cat & wait %1; echo $?
(sleep 1003; echo no) & p=$!; kill -TERM -$p; gone $p; jobs
sleep 0.1 & fg %1; jobs -l
sh -c 'kill -STOP $$; exit 9' & p=$!; state $p T; jobs; fg; echo $?
disown -a; jobs
