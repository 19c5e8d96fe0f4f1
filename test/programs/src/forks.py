# What Python programs do with processes, signals, pipes and threads. Prints no
# numbers that differ from run to run.
import errno, fcntl, mmap, multiprocessing, os, pty, resource, select, signal, socket, struct, subprocess, sys, tempfile
import termios, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory


def section(f):
    try:
        result = f()
    except Exception as e:
        result = f"{type(e).__name__}: {e}"
    print(f.__name__, result, flush=True)


def square(n):
    return n * n


def fork_and_wait():
    statuses = []
    for code in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(code * 10)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pid = os.fork()
    if pid == 0:
        signal.pause()
    os.kill(pid, signal.SIGTERM)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    try:
        os.waitpid(-1, 0)
    except ChildProcessError as e:
        statuses.append(errno.errorcode[e.errno])
    return statuses


def many_children():
    readers = []
    for i in range(40):
        r, w = os.pipe()
        if os.fork() == 0:
            os.write(w, b"%d " % (i * i))
            os._exit(0)
        os.close(w)
        readers.append(r)
    text = b""
    for r in readers:
        while piece := os.read(r, 100):
            text += piece
        os.close(r)
    return text.decode(), sorted(os.waitpid(-1, 0)[1] for _ in readers)


def orphan():
    r, w = os.pipe()
    if os.fork() == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.001)
            os.write(w, b"adopted")
            os._exit(0)
        os._exit(0)
    os.wait()
    os.close(w)
    return os.read(r, 100)


def subprocess_pipelines():
    a = subprocess.Popen(["printf", "c\\na\\nb\\n"], stdout=subprocess.PIPE)
    b = subprocess.Popen(["sort"], stdin=a.stdout, stdout=subprocess.PIPE)
    a.stdout.close()
    out = b.communicate()[0]
    big = bytes(range(256)) * 4096
    same = subprocess.run(["cat"], input=big, capture_output=True).stdout == big
    late = None
    try:
        subprocess.run(["sleep", "60"], timeout=0.05)
    except subprocess.TimeoutExpired:
        late = "late"
    return out, a.wait(), b.returncode, same, late, subprocess.getstatusoutput("echo hi; exit 3")


def subprocess_options():
    results = []
    r, w = os.pipe()
    p = subprocess.run(["sh", "-c", f"echo through >&{w}"], pass_fds=[w])
    results.append((p.returncode, os.read(r, 100)))
    p = subprocess.run(["sh", "-c", f"echo through >&{w}"], stderr=subprocess.DEVNULL)
    results.append(p.returncode != 0)
    for fd in r, w:
        os.close(fd)
    p = subprocess.run(["sh", "-c", "pwd; umask; echo $X; echo no >&2"], cwd="/usr", umask=0o27, env={"X": "y"}, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    results.append(p.stdout)
    p = subprocess.run(["sh", "-c", "kill -9 $$"])
    results.append(p.returncode)
    for command, cwd in (["/no/such"], None), (["true"], "/no/such"), (["/etc/passwd"], None):
        try:
            subprocess.run(command, cwd=cwd)
        except OSError as e:
            results.append((errno.errorcode[e.errno], e.filename))
    out = subprocess.run([sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid(), os.listdir('/proc/self/fd'))"],
                         start_new_session=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    results.append(out)
    return results


def pools():
    with multiprocessing.Pool(3) as pool:
        a = pool.map(square, range(20))
    with ProcessPoolExecutor(2) as pool:
        b = sum(pool.map(square, range(50)))
    with ThreadPoolExecutor(8) as pool:
        c = sum(pool.map(square, range(200)))
    return a, b, c


def add(counter, lock, n):
    for _ in range(n):
        with lock:
            counter.value += 1


def shared_state():
    counter, lock = multiprocessing.Value("i", 0, lock=False), multiprocessing.Lock()
    children = [multiprocessing.Process(target=add, args=(counter, lock, 200)) for _ in range(4)]
    for c in children:
        c.start()
    for c in children:
        c.join()
    shm = shared_memory.SharedMemory(create=True, size=8192)
    if os.fork() == 0:
        shm.buf[8191] = 7
        os._exit(0)
    os.wait()
    last = shm.buf[8191]
    shm.close()
    shm.unlink()
    return counter.value, [c.exitcode for c in children], last


def echo(connection):
    while (x := connection.recv()) is not None:
        connection.send(x[::-1])


def connections():
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=echo, args=(theirs,))
    child.start()
    got = []
    for x in "abc", list(range(5)), b"x" * 200000:
        ours.send(x)
        back = ours.recv()
        got.append(back if len(back) < 10 else len(back))
    ours.send(None)
    child.join()
    q = multiprocessing.Queue()
    children = [multiprocessing.Process(target=q.put, args=(i,)) for i in range(5)]
    for c in children:
        c.start()
    got.append(sorted(q.get() for _ in children))
    for c in children:
        c.join()
    return got


def signals():
    seen = []
    signal.signal(signal.SIGUSR1, lambda n, f: seen.append("usr1"))
    signal.signal(signal.SIGALRM, lambda n, f: seen.append("alarm"))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.2)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    seen.append(signal.Signals.SIGUSR1 in signal.sigpending())
    info = signal.sigwaitinfo([signal.SIGUSR1])
    seen.append((info.si_pid == os.getpid(), info.si_code, info.si_uid == os.getuid()))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    r, w = os.pipe2(os.O_NONBLOCK)
    old = signal.set_wakeup_fd(w)
    signal.raise_signal(signal.SIGUSR1)
    signal.set_wakeup_fd(old)
    seen.append(os.read(r, 10))
    # A system call that a signal interrupts is made again.
    r, w = os.pipe()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    threading.Timer(0.1, os.write, (w, b"late")).start()
    seen.append(os.read(r, 10))
    child = subprocess.Popen(["sleep", "60"])
    os.kill(child.pid, signal.SIGSTOP)
    stopped = os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    os.kill(child.pid, signal.SIGCONT)
    continued = os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    child.kill()
    seen.append((stopped.si_status, stopped.si_code, continued.si_code, child.wait()))
    return seen


def threads_and_fork():
    lock, results = threading.Lock(), []

    def work(i):
        pid = os.fork()
        if pid == 0:
            os._exit(i)
        with lock:
            results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(results)


def terminal():
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "tty >/dev/null && stty -a | head -1; read x; echo got $x; test -t 0; exit $((5 + $?))"])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
    os.write(fd, b"word\n")
    out = b""
    while True:
        try:
            piece = os.read(fd, 1000)
        except OSError as e:
            last = errno.errorcode[e.errno]
            break
        out += piece
    return b"got word" in out, last, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def files():
    results = []
    with tempfile.TemporaryFile() as f:
        f.write(b"x" * 10000)
        f.flush()
        m = mmap.mmap(f.fileno(), 0)
        if os.fork() == 0:
            m[5000] = 65
            fcntl.flock(f, fcntl.LOCK_EX)
            os._exit(0)
        os.wait()
        results.append(m[4999:5002])
        f.seek(0)
        results.append(f.read().count(b"A"))
        m.close()
        fcntl.lockf(f, fcntl.LOCK_EX)
        if os.fork() == 0:
            try:
                fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os._exit(0)
            except OSError as e:
                os._exit(e.errno)
        results.append(errno.errorcode[os.waitstatus_to_exitcode(os.wait()[1])])
    return results


def limits():
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        n = 0
        try:
            while True:
                os.dup(0)
                n += 1
        except OSError as e:
            os._exit(100 if e.errno == errno.EMFILE and n < 20 else 1)
    results = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
        while True:
            pass
    results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    results.append(usage.ru_utime > 0.5)
    return results


def sockets():
    a, b = socket.socketpair()
    socket.send_fds(a, [b"take"], [sys.stdin.fileno()])
    message, fds, flags, _ = socket.recv_fds(b, 100, 4)
    same = os.fstat(fds[0]).st_ino == os.fstat(0).st_ino
    poll = select.epoll()
    poll.register(a, select.EPOLLIN)
    before = poll.poll(0)
    b.send(b"x")
    after = [event for _, event in poll.poll(1)]
    b.close()
    hung = [event for _, event in poll.poll(1)]
    return message, len(fds), flags, same, before, after, hung


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    for f in (fork_and_wait, many_children, orphan, subprocess_pipelines, subprocess_options, pools, shared_state, connections,
              signals, threads_and_fork, terminal, files, limits, sockets):
        section(f)
    sys.exit(7)
