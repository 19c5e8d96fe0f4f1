# Job control on a terminal: a shell is typed to, and what it knows of its jobs
# and what happens to readers and writers in the background is printed.
import os, pty, re, select, signal, sys, termios, time, fcntl, struct

class Shell:
    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1='$ ', PS2='> ', ENV='', TERM='dumb', HISTFILE='')
            os.execvp(argv[0], argv)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))
        self.seen = ''
        self.until(r'\$ $')

    def until(self, pattern, limit=60):
        end = time.time() + limit
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.time()))
            if not ready:
                print('never', pattern, repr(self.seen)); sys.exit(1)
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b''
            if not data:
                break
            self.seen += data.decode()
        seen, self.seen = self.seen, ''
        return seen

    def type(self, text):
        os.write(self.fd, text.encode())

    # waits until this many processes of a name have the terminal: only then do
    # keys reach them and not the shell.
    def waits(self, name, n=1):
        for _ in range(1200):
            group, found = os.tcgetpgrp(self.fd), 0
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    comm, rest = open('/proc/%s/stat' % pid).read().split(' (', 1)[1].rsplit(') ', 1)
                except OSError:
                    continue
                found += group != self.pid and comm == name and int(rest.split()[2]) == group
            if found == n:
                return
            time.sleep(0.05)
        print('never in the foreground:', name); sys.exit(1)

    # do gives what a line prints, without its echo, the prompt, and pids.
    def do(self, line, keys=''):
        self.type('echo; ' + line + ('' if line.endswith('&') else ';') + ' echo "<$?>"\n')
        if keys:
            self.waits(line.split()[0])
            self.type(keys)
        out = self.until(r'<\d+>\r\n(?:.*\n)*\$ $')
        out = out[out.find('\n') + 1:]
        return re.sub(r'\[(\d)\] \d+', r'[\1] N', out).replace('\r', '').split('\n')[:-1]

    # status is that of the last command.
    def status(self):
        self.type('echo "=$?="\n')
        return re.search(r'=(\d+)=\r\n', self.until(r'=\d+=\r\n\$ $')).group(1)

    # poll repeats a line until it prints the pattern.
    def poll(self, line, pattern):
        for _ in range(200):
            out = ' '.join(self.do(line))
            if re.search(pattern, out):
                return re.search(pattern, out).group()
            time.sleep(0.05)
        return 'never ' + pattern + ' ' + out

def show(*words):
    print(*words, flush=True)

for argv in (['bash', '--norc', '-i'], ['dash', '-i']):
    s = Shell(*argv)
    show('===', argv[0])
    bash = argv[0] == 'bash'
    s.type('sleep 1000\n'); s.waits('sleep'); s.type('\x1a'); s.until(r'Stopped.*\n.*\$ $')
    show(s.poll('jobs', r'\[1\] ?\+ +Stopped.*sleep 1000'))
    s.do('bg'); show(s.poll('jobs', r'\[1\] ?\+ +Running +sleep 1000'))
    s.type('fg\n'); s.until('sleep 1000\r\n'); s.waits('sleep'); s.type('\x03'); s.until(r'\$ $')
    show(s.status())
    # A reader in the background stops, and goes on in the foreground.
    s.do('cat &'); show(s.poll('jobs', r'\[1\] ?\+ +Stopped.*cat'))
    s.type('fg\n'); s.until('cat\r\n'); s.waits('cat'); s.type('typed\n'); s.until('typed\r\ntyped\r\n'); s.type('\x04'); s.until(r'\$ $')
    # So does a writer when the terminal wants it.
    s.do('stty tostop'); s.do('/bin/echo written &'); show(s.poll('jobs', r'\[1\] ?\+ +Stopped.*written'))
    s.type('fg\n'); show(re.search('written\r\n', s.until('\nwritten\r\n(?s:.*)\\$ $')) is not None); s.do('stty -tostop')
    # Ctrl-C ends a pipeline, Ctrl-\ a program.
    s.type('cat | cat\n'); s.waits('cat', 2); s.type('\x03'); s.until(r'\$ $'); show(s.status())
    s.type('sleep 1001\n'); s.waits('sleep'); s.type('\x1c'); s.until(r'\$ $'); show(s.status())
    # Two jobs: the marks follow.
    s.do('sleep 1002 &'); s.do('sleep 1003 &'); show(s.poll('jobs', r'\[1\] ?- +Running +sleep 1002')); show(s.poll('jobs', r'\[2\] ?\+ +Running +sleep 1003'))
    s.do('kill %1'); s.poll('jobs', r'^(?!.*1002)'); show(s.poll('jobs', r'\[2\] ?\+ +Running'))
    s.do('kill %2'); s.poll('jobs', r'^(?!.*1003)')
    show(s.do('stty size'), s.do('test -t 0')[-1:])
    # Line editing of the terminal: erase, word erase, kill, end of file.
    show(s.do('cat >f; cat f; echo', 'abx\x7fc\none two\x17three\ngone\x15kept\n\x04')[-4:])
    s.type('exit 3\n')
    show(os.waitstatus_to_exitcode(os.waitpid(s.pid, 0)[1]))
