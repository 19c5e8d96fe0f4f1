# Processes as python starts them.
import os,sys,subprocess,multiprocessing as mp,signal,time,tempfile,threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
def sq(x): return x*x
def prod(q):
    for i in range(5): q.put(i)
    q.put(None)
def inc(v,l):
    for _ in range(200):
        with l: v.value+=1
if __name__=='__main__':
    print(subprocess.run(['sh','-c','echo out; echo err >&2; exit 3'],capture_output=True))
    p=subprocess.Popen(['cat'],stdin=subprocess.PIPE,stdout=subprocess.PIPE); print(p.communicate(b'x'*100000)[0]==b'x'*100000)
    try: subprocess.run(['sleep','10'],timeout=0.2)
    except subprocess.TimeoutExpired as e: print('timeout')
    print(subprocess.run(['sh','-c','kill -9 $$']).returncode)
    print(subprocess.run('seq 3 | tac',shell=True,stdout=subprocess.PIPE,text=True,start_new_session=True).stdout)
    try: subprocess.run(['/nonexistent'])
    except FileNotFoundError as e: print(e)
    for m in ('fork','spawn','forkserver'):
        c=mp.get_context(m)
        with c.Pool(2) as pool: print(m,pool.map(sq,range(6)))
        q=c.Queue(); pr=c.Process(target=prod,args=(q,)); pr.start(); print(list(iter(q.get,None))); pr.join(); print(pr.exitcode)
        v=c.Value('i',0); l=c.Lock(); ps=[c.Process(target=inc,args=(v,l)) for _ in range(3)]; [x.start() for x in ps]; [x.join() for x in ps]; print(v.value)
    with ProcessPoolExecutor(2) as ex: print(list(ex.map(sq,range(5))))
    r,w=os.pipe(); pid=os.fork()
    if pid==0: os.write(w,b'child'); os._exit(5)
    print(os.read(r,10), os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))
    from multiprocessing import shared_memory
    s=shared_memory.SharedMemory(create=True,size=4096); s.buf[0]=5; pid=os.fork()
    if pid==0: s.buf[0]=9; os._exit(0)
    os.waitpid(pid,0); print(s.buf[0]); s.close(); s.unlink()
    import pty; pid,fd=pty.fork()
    if pid==0: os.execvp('sh',['sh','-c','tty >/dev/null && echo tty; stty size'])
    out=b''
    try:
        while True:
            d=os.read(fd,100)
            if not d: break
            out+=d
    except OSError as e: print(e)
    print(out); os.waitpid(pid,0)
    with mp.Manager() as m: d=m.dict(); d['a']=1; print(dict(d))
    import asyncio
    async def a():
        p=await asyncio.create_subprocess_exec('sort',stdin=-1,stdout=-1); print((await p.communicate(b'b\na\n'))[0])
    asyncio.run(a())
