// Signals about files: O_ASYNC, F_SETSIG, F_SETOWN and F_NOTIFY.
#define _GNU_SOURCE
#include <stdio.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <string.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <pty.h>
static volatile int got; static siginfo_t last;
static void h(int s, siginfo_t *si, void *u){ last=*si; got=s; }
static void expect(const char *what, int fd){
  sigset_t none, all; struct timespec ts={5,0}; sigfillset(&all); sigdelset(&all,SIGALRM);
  siginfo_t si; memset(&si,0,sizeof si);
  int s=sigtimedwait(&all,&si,&ts);
  if(s<0) printf("%s: none %d\n",what,errno);
  else if(s==SIGIO && si.si_code==SI_KERNEL) printf("%s: SIGIO from the kernel\n",what);
  else printf("%s: sig %s code %d band %lx fd %s\n",what,s==SIGIO?"IO":s==SIGRTMIN?"RTMIN":s==SIGCHLD?"CHLD":"?",si.si_code,si.si_band,si.si_fd==fd?"same":"other");
}
static void drain(void){ sigset_t all; sigfillset(&all); struct timespec z={0,0}; while(sigtimedwait(&all,0,&z)>0); }
static void none(const char *what){ sigset_t all; sigfillset(&all); struct timespec z={0,50000000}; siginfo_t si; int s=sigtimedwait(&all,&si,&z); printf("%s: %s\n",what,s<0?"none":"a signal"); }
int main(void){
  setvbuf(stdout,0,_IONBF,0); setpgid(0,0);
  sigset_t all; sigfillset(&all); sigprocmask(SIG_BLOCK,&all,0);
  int p[2]; pipe(p);
  fcntl(p[0],F_SETFL,O_ASYNC); write(p[1],"x",1); none("no owner");
  fcntl(p[0],F_SETOWN,getpid()); write(p[1],"x",1);
  sigset_t pend; sigpending(&pend); printf("pending at once %d\n",sigismember(&pend,SIGIO));
  expect("pipe read end",p[0]);
  fcntl(p[0],F_SETSIG,SIGRTMIN); write(p[1],"x",1); expect("pipe with F_SETSIG",p[0]);
  close(p[1]); expect("pipe hangup",p[0]); drain();
  printf("owner %d\n",fcntl(p[0],F_GETOWN)==getpid());
  close(p[0]);
  pipe(p); fcntl(p[1],F_SETOWN,getpid()); fcntl(p[1],F_SETSIG,SIGRTMIN); fcntl(p[1],F_SETFL,O_NONBLOCK|O_ASYNC);
  char buf[65536]; while(write(p[1],buf,sizeof buf)>0); drain();
  while(read(p[0],buf,sizeof buf)==sizeof buf) break; expect("pipe write end",p[1]); drain();
  fcntl(p[1],F_SETFL,O_NONBLOCK); close(p[0]); none("off again"); close(p[1]);
  int s[2]; socketpair(AF_UNIX,SOCK_STREAM,0,s); int on=1; ioctl(s[0],FIOASYNC,&on); printf("flag %d\n",!!(fcntl(s[0],F_GETFL)&O_ASYNC));
  fcntl(s[0],F_SETOWN,getpid()); fcntl(s[0],F_SETSIG,SIGRTMIN); write(s[1],"x",1); expect("socket",s[0]); drain();
  pid_t c=fork(); if(!c){ send(s[1],"y",1,0); _exit(0);} 
  sigset_t rt; sigemptyset(&rt); sigaddset(&rt,SIGRTMIN); siginfo_t si; struct timespec ts={10,0};
  int from=sigtimedwait(&rt,&si,&ts)==SIGRTMIN; printf("socket from a child %d code %d\n",from,si.si_code); waitpid(c,0,0); drain();
  fcntl(s[0],F_SETOWN,-getpgrp()); struct f_owner_ex ex; fcntl(s[0],F_GETOWN_EX,&ex); drain(); printf("ex %d %d\n",ex.type,ex.pid==getpgrp());
  char dir[]="/tmp/dnXXXXXX"; mkdtemp(dir); int d=open(dir,O_RDONLY|O_DIRECTORY); char name[99]; sprintf(name,"%s/a",dir);
  printf("notify %d\n",fcntl(d,F_NOTIFY,DN_CREATE)); int f=open(name,O_CREAT|O_RDWR,0600); expect("dnotify create",d);
  sprintf(name,"%s/b",dir); close(open(name,O_CREAT|O_RDWR,0600)); none("dnotify once");
  fcntl(d,F_SETSIG,SIGRTMIN);
  printf("notify %d\n",fcntl(d,F_NOTIFY,DN_MODIFY|DN_ATTRIB|DN_DELETE|DN_RENAME|DN_MULTISHOT));
  write(f,"x",1); expect("dnotify modify",d); fchmod(f,0400); expect("dnotify attrib",d); unlink(name); expect("dnotify delete",d);
  drain();
  printf("notify %d\n",fcntl(d,F_NOTIFY,0)); write(f,"x",1); none("dnotify ended");
  errno=0; int r=fcntl(f,F_NOTIFY,DN_CREATE); printf("notify on a file %d %d\n",r,errno);
  fcntl(d,F_NOTIFY,DN_MODIFY|DN_MULTISHOT); close(d); write(f,"x",1); none("dnotify closed");
  sprintf(name,"%s/a",dir); unlink(name); rmdir(dir);
  int m,sl; close(s[1]); expect("socket hangup",s[0]); close(s[0]); drain(); openpty(&m,&sl,0,0,0); fcntl(m,F_SETFL,O_ASYNC); fcntl(m,F_SETSIG,SIGRTMIN); write(sl,"hi",2); expect("pty master",m);
  return 0; }
