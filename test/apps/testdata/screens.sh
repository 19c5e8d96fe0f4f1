# Full-screen programs in tmux: what their screens show. $RUN, if it is set, is
# what starts each of them: in a machine of its own, when tmux runs outside.
export TERM=xterm LC_ALL=C.UTF-8 HOME=$PWD SHELL=/bin/sh
unset TMUX
[ -z "$RUN" ] || RUN=$(eval "echo $RUN") # it has $PWD in it
seq 1 200 >nums
printf 'h\303\251llo w\303\266rld\nline two\n\tTabbed\n' | tee txt >note
T="tmux -S $PWD/socket -f /dev/null"
cap() { $T capture-pane -p -t m; }
sees() { for _ in $(seq 600); do cap | grep -q -- "$1" && return; $T has-session -t m 2>/dev/null || break; sleep 0.1; done; echo "never: $1"; cap; }
# settles waits until the screen stays the same for a while.
settles() { local a= b=x; until [ "$a" = "$b" ]; do a=$(cap); sleep 0.5; b=$(cap); done; }
show() { echo "--- $1"; cap; }
# Figures and the space around them differ.
shape() { echo "--- $1"; cap | sed -n "$2" | sed 's/ *[0-9.]\{1,\}/ N/g; s/ \{1,\}/ /g; s/: N/:N/g'; }
start() { command -v "${1%% *}" >/dev/null && $T new-session -d -s m -x 80 -y 24 "$RUN $1"; }
keys() { $T send-keys -t m "$@"; }
stop() { keys "$@"; for _ in $(seq 600); do $T has-session -t m 2>/dev/null || return; sleep 0.1; done; echo "does not stop"; $T kill-session -t m; }

if start 'vim.tiny -u NONE -N txt'; then
	sees 'wörld'; settles; show vi
	keys 'jddGoadded text' Escape ':set number' Enter; sees ' 3 added'; settles; show changed
	stop ':wq' Enter; [ -n "$RUN" ] || cat txt # what a machine writes is its own
fi
if start 'vim.tiny -u NONE -N nums'; then
	sees '23$'; keys G; sees '^200'; keys ':1' Enter; sees '^1$'; settles; show top
	keys Down Down dd; sees '^4$'; stop ':qa!' Enter
fi
if start 'less nums'; then
	sees '^23'; settles; keys /150 Enter; sees '^172'; settles; show less
	keys G; sees END; $T resize-window -t m -x 60 -y 10
	# Keys that come while less serves the new size are lost.
	for _ in $(seq 600); do keys g; sleep 0.1; cap | grep -q '^9$' && break; done
	sees '^:$'; settles; show smaller; stop q
fi
if start 'top -d 1'; then sees PID; shape top '2,5p;7p'; stop q; fi
if start htop; then sees F10; shape htop '/PID USER/p;$p'; stop F10; fi
if start 'nano -I note'; then
	sees 'wörld'; settles; keys abc; sees abch; settles; show nano; keys C-x; sees 'Save mod'; stop n
fi
if mkdir panels && cp nums panels && start 'mc -u -b -P /dev/null panels panels'; then
	# Sizes of disks, dates, hints and the prompt differ.
	sees 10Quit; sees '│ nums'; settles; shape mc '2,5p;$p'; keys Down; settles; keys F3; sees '^20$'; settles
	echo '--- mc viewer'; cap | sed -n '2,$p'; keys q; sees '│ nums'; stop F10
fi
if start 'bash --norc'; then
	sees '[$#]$'; keys 'PS1="$ "; clear' Enter; sees '^\$'
	# It says when it has the terminal, for the first time and again.
	keys "sh -c 'trap \"echo again\" CONT; echo on; while :; do sleep 1; done'" Enter; sees '^on'; keys C-z; sees Stopped
	keys jobs Enter fg Enter; sees '^again'; keys C-c; sees '^^C'; keys 'echo =$?' Enter; sees =130
	keys 'echo ab' Left X Enter; sees '^aXb'; settles; show bash; stop C-d
fi
if start 'python3 -q'; then
	sees '>>>'; keys '1+1' Enter 'import time; print("on"); time.sleep(1000)' Enter; sees '^on'; keys C-c; sees KeyboardI
	keys Up Up Up; for _ in $(seq 600); do [ "$(cap | grep -c '^>>> 1+1')" = 2 ] && break; sleep 0.1; done; settles; show python; keys C-c; stop C-d
fi
if [ -z "$RUN" ] && start 'sleep 1000'; then
	$T split-window -t m 'sleep 1001'; $T split-window -h -t m 'sleep 1002'
	$T list-panes -t m -F '#{pane_width}x#{pane_height}'; settles; show panes; $T kill-server
fi
