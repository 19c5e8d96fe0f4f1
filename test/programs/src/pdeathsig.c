// What PR_SET_PDEATHSIG says of its sender.
#include <stdio.h>
#include <signal.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
int main(){ int p[2]; pipe(p); pid_t mid=fork();
 if(!mid){ pid_t me=getpid(); int q[2]; pipe(q); if(!fork()){ sigset_t s; sigemptyset(&s); sigaddset(&s,SIGUSR1); sigprocmask(SIG_BLOCK,&s,0); prctl(PR_SET_PDEATHSIG,SIGUSR1); write(q[1],"x",1); siginfo_t si; sigwaitinfo(&s,&si); char b[99]; int n=sprintf(b,"code %d from the parent %d uid %d\n",si.si_code,si.si_pid==me,si.si_uid); write(p[1],b,n); _exit(0);} char c; read(q[0],&c,1); _exit(0);} 
 close(p[1]); waitpid(mid,0,0); char b[99]; int n=read(p[0],b,99); write(1,b,n); return 0;}
