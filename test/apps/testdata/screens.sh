# Full-screen programs in tmux: what their screens show.
export TERM=xterm LC_ALL=C.UTF-8 HOME=$PWD SHELL=/bin/sh
unset TMUX
seq 1 200 >nums
printf 'h\303\251llo w\303\266rld\nline two\n\tTabbed\n' >txt
T="tmux -S $PWD/socket -f /dev/null"
cap() { $T capture-pane -p -t m; }
sees() { for _ in $(seq 600); do cap | grep -q -- "$1" && return; sleep 0.1; done; echo "never: $1"; cap; }
show() { echo "--- $1"; cap; }
# Figures and the space around them differ.
shape() { echo "--- $1"; cap | sed -n "$2" | sed 's/[0-9.]\{1,\}/N/g; s/ \{1,\}/ /g; s/: N/:N/'; }
start() { command -v "${1%% *}" >/dev/null && $T new-session -d -s m -x 80 -y 24 "$@"; }
keys() { $T send-keys -t m "$@"; }
stop() { keys "$@"; for _ in $(seq 600); do $T has-session -t m 2>/dev/null || return; sleep 0.1; done; echo "does not stop"; $T kill-session -t m; }

if start 'vim.tiny -u NONE -N txt'; then
	sees 'wörld'; show vi
	keys 'jddGoadded text' Escape ':set number' Enter; sees ' 3 added'; show changed
	stop ':wq' Enter; cat txt
fi
if start 'vim.tiny -u NONE -N nums'; then
	sees '23$'; keys G; sees '^200'; keys ':1' Enter; sees '^1$'; show top
	keys Down Down dd; sees '^4$'; stop ':qa!' Enter
fi
if start less nums; then
	sees 23; keys /150 Enter; sees 172; show less
	keys G; sees END; $T resize-window -t m -x 60 -y 10; sleep 1; keys g; sees '^9$'; show smaller; stop q
fi
if start 'top -d 1'; then sees PID; shape top '2,5p;7p'; stop q; fi
if start htop; then sees F10; shape htop '/PID USER/p;$p'; stop F10; fi
if start 'nano -I txt'; then
	sees 'wörld'; keys abc; sees abch; show nano; keys C-x; sees 'Save mod'; stop n
fi
if start 'bash --norc'; then
	keys 'PS1="$ "; clear' Enter; sees '^\$'; keys 'sleep 1000' Enter; sleep 0.5; keys C-z; sees Stopped
	keys 'jobs' Enter 'fg' Enter; sees '^sleep'; sleep 0.3; keys C-c; sleep 0.3; keys 'echo =$?' Enter; sees =130
	keys 'echo ab' Left X Enter; sees '^aXb'; show bash; stop C-d
fi
if start 'python3 -q'; then
	sees '>>>'; keys '1+1' Enter 'import time; print("on"); time.sleep(1000)' Enter; sees '^on'; keys C-c; sees KeyboardI
	keys Up Up Up; sees '>>> 1+1'; show python; keys C-c; stop C-d
fi
if start 'sleep 1000'; then
	$T split-window -t m 'sleep 1001'; $T split-window -h -t m 'sleep 1002'
	$T list-panes -t m -F '#{pane_width}x#{pane_height}'; show panes; $T kill-server
fi
