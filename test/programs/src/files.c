// The calls on files: every flag and error of the manual pages that gives the
// same answer on every file system in memory. Each call is printed with its
// result and errno.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#define BAD ((void *)0x10)
#define TRY(call) do { errno = 0; long r = (long)(call); printf("%s = %ld %s\n", #call, r, r < 0 ? strerrorname_np(errno) : ""); } while (0)
#define sys(nr, ...) syscall(SYS_##nr, ##__VA_ARGS__)

static char big[5000];
static int signals;

static void count(int sig) { signals++; }

static int drop(const char *path, const struct stat *st, int type, struct FTW *at) { return remove(path); }

int main(void) {
	char place[] = "/dev/shm/files.XXXXXX";
	close_range(3, ~0u, 0);
	if (!mkdtemp(place) || chdir(place))
		return 1;
	setvbuf(stdout, 0, _IOLBF, 1<<12);
	umask(022);
	memset(big, 'x', 4999);
	char buf[8192];
	struct stat st;
	struct statx sx;
	struct iovec iov[3]={{buf,10},{buf+10,20},{buf+30,0}};
	int fd=open("f",O_RDWR|O_CREAT|O_TRUNC,0644), rd=open("f",O_RDONLY), wr=open("f",O_WRONLY), dir=open(".",O_RDONLY|O_DIRECTORY), pt=open("f",O_PATH);
	int p[2];
	pipe(p);
	printf("%d %d %d %d %d\n",fd,rd,wr,dir,pt);

	// reading and writing
	TRY(write(fd,"hello world",11));
	TRY(write(rd,"x",1));
	TRY(read(wr, buf, 1));
	TRY(read(dir, buf, 1));
	TRY(read(pt, buf, 1));
	TRY(read(99, buf, 1));
	TRY(read(-1, buf, 1));
	TRY(read(rd, BAD, 5));
	TRY(read(rd, buf, 0));
	TRY(read(rd, BAD, 0));
	TRY(write(fd, BAD, 5));
	TRY(write(fd, BAD, 0));
	TRY(read(rd, buf, -1));
	TRY(lseek(rd, 0, SEEK_CUR));
	TRY(sys(read, rd, (void*)-1, 10));
	TRY(sys(read, wr, (void*)-1, 10));

	// offsets
	TRY(pread(rd, buf, 5, -1));
	TRY(pread(rd, buf, 5, 6));
	TRY(pread(p[0], buf, 1, 0));
	TRY(pwrite(p[1], buf, 1, 0));
	TRY(pwrite(fd,"abc",3,20));
	TRY(pread(rd, buf, 100, 9));
	TRY(pread(rd, buf, 100, 1L<<62));
	TRY(pread(wr, buf, 1, 0));
	TRY(pwrite(rd, buf, 1, 0));
	TRY(pread(dir, buf, 1, 0));
	TRY(pread(pt, buf, 1, 0));

	// several buffers
	TRY(readv(rd, iov, 3));
	TRY(readv(rd, iov, 0));
	TRY(readv(rd, iov, -1));
	TRY(readv(rd, iov, 1025));
	TRY(readv(rd, BAD, 1));
	TRY(readv(rd, 0, 0));
	struct iovec bi[2]={{buf,4},{BAD,4}};
	TRY(lseek(rd, 0, 0));
	TRY(readv(rd, bi, 2));
	struct iovec ni[1]={{buf,-1}};
	TRY(readv(rd, ni, 1));
	struct iovec ov[2]={{buf,0x7fffffffffffffff},{buf,0x7fffffffffffffff}};
	TRY(readv(rd, ov, 2));
	TRY(writev(rd, iov, 2));
	TRY(writev(fd, bi, 2));
	TRY(preadv(rd, iov, 2, -1));
	TRY(preadv2(rd, iov, 2, -1, 0));
	TRY(preadv2(rd, iov, 2, 0, 0x8000));
	TRY(preadv2(rd, iov, 2, 0, RWF_HIPRI));
	TRY(pwritev2(fd, iov, 2, 0, RWF_DSYNC|RWF_SYNC));
	TRY(preadv2(p[0], iov, 1, -1, RWF_NOWAIT));
	TRY(preadv2(p[0], iov, 1, 0, 0));
	TRY(fstat(fd, &st));
	printf("size %ld blocks %ld\n",(long)st.st_size,(long)st.st_blocks);

	// lseek
	TRY(lseek(fd, -1, 0));
	TRY(lseek(fd, 5, 9));
	TRY(lseek(p[0], 0, 0));
	TRY(lseek(pt, 0, 0));
	TRY(lseek(99, 0, 0));
	TRY(lseek(fd, 0x7fffffffffffffff, SEEK_END));
	TRY(lseek(fd, 0x7fffffffffffffff, SEEK_SET));
	TRY(lseek(dir, 0, SEEK_END));
	TRY(lseek(dir, 0, SEEK_SET));
	TRY(lseek(fd, 0, SEEK_DATA));
	TRY(lseek(fd, 0, SEEK_HOLE));
	TRY(lseek(fd, 100000, SEEK_DATA));

	// open
	TRY(open("",O_RDONLY));
	TRY(open(BAD, O_RDONLY));
	TRY(open(0, O_RDONLY));
	TRY(open("nope",O_RDONLY));
	TRY(open("f/",O_RDONLY));
	TRY(open("f/x",O_RDONLY));
	TRY(open(".",O_RDWR));
	TRY(open(".",O_CREAT,0));
	TRY(open("f",O_DIRECTORY));
	TRY(open("f",O_CREAT|O_EXCL,0));
	TRY(open("new/",O_CREAT,0644));
	TRY(open("x",O_TMPFILE,0));
	TRY(open("x",O_TMPFILE|O_RDWR,0));
	TRY(openat(99,"f",0));
	TRY(openat(fd,"f",0));
	TRY(openat(99,"/",0));
	big[4095]=0;
	TRY(open(big, O_RDONLY));
	big[4095]='x';
	TRY(open(big, O_RDONLY));
	big[255]=0;
	TRY(open(big, O_RDONLY));
	big[255]='x';
	big[256]=0;
	TRY(open(big, O_RDONLY));
	big[256]='x';
	TRY(open("f",O_ACCMODE));
	TRY(open("f",0x10000000));
	TRY(close(11));
	TRY(close(12));
	TRY(close(13));
	symlink("f","sl");
	symlink("loop","loop");
	symlink("nope","dang");
	mkdir("d",0755);
	mkfifo("ff",0600);
	TRY(open("sl",O_NOFOLLOW));
	TRY(open("loop",0));
	TRY(open("dang",0));
	TRY(open("dang",O_CREAT|O_EXCL,0644));
	TRY(access("nope",F_OK));
	TRY(open("sl",O_PATH|O_NOFOLLOW));
	TRY(open("ff",O_WRONLY|O_NONBLOCK));
	TRY(open("ff",O_RDONLY|O_NONBLOCK));
	for(int i=9;i<40;i++) close(i);

	// openat2
	struct open_how how={0};
	TRY(sys(openat2,AT_FDCWD,"f",&how,0));
	TRY(sys(openat2,AT_FDCWD,"f",&how,sizeof how));
	TRY(sys(openat2,AT_FDCWD,"f",&how,4097));
	TRY(sys(openat2,AT_FDCWD,"f",BAD,sizeof how));
	struct {struct open_how h; long x;} h2={0};
	TRY(sys(openat2,AT_FDCWD,"f",&h2,sizeof h2));
	h2.x=1;
	TRY(sys(openat2,AT_FDCWD,"f",&h2,sizeof h2));
	how.flags=0x100000000ull;
	TRY(sys(openat2,AT_FDCWD,"f",&how,sizeof how));
	how.flags=O_RDONLY;
	how.mode=0644;
	TRY(sys(openat2,AT_FDCWD,"f",&how,sizeof how));
	how.mode=0;
	how.resolve=0x100;
	TRY(sys(openat2,AT_FDCWD,"f",&how,sizeof how));
	how.resolve=RESOLVE_BENEATH;
	TRY(sys(openat2,AT_FDCWD,"../f",&how,sizeof how));
	TRY(sys(openat2,AT_FDCWD,"/",&how,sizeof how));
	how.resolve=RESOLVE_NO_SYMLINKS;
	TRY(sys(openat2,AT_FDCWD,"sl",&how,sizeof how));
	how.resolve=RESOLVE_NO_MAGICLINKS;
	TRY(sys(openat2,AT_FDCWD,"/proc/self/fd/0",&how,sizeof how));
	how.flags=O_PATH|O_RDWR;
	how.resolve=0;
	TRY(sys(openat2,AT_FDCWD,"f",&how,sizeof how));
	for(int i=9;i<40;i++) close(i);

	// close and dup
	TRY(close(99));
	TRY(close(-1));
	TRY(sys(close_range, 5, 4, 0));
	TRY(sys(close_range, 50, 60, 8));
	TRY(sys(close_range, 50, ~0u, 4));
	TRY(dup(99));
	TRY(dup2(99, 5));
	TRY(dup2(fd, fd));
	TRY(dup2(99, 99));
	TRY(dup2(fd, -1));
	TRY(dup2(fd, 100000000));
	TRY(dup3(fd, fd, 0));
	TRY(dup3(fd, 20, O_CLOEXEC));
	TRY(fcntl(20, F_GETFD));
	TRY(dup3(fd, 20, 1));
	TRY(dup2(fd, 20));
	TRY(fcntl(20, F_GETFD));
	TRY(close(20));

	// fcntl
	TRY(fcntl(fd, F_GETFL));
	TRY(fcntl(rd, F_GETFL));
	TRY(fcntl(pt, F_GETFL));
	TRY(fcntl(fd, F_SETFL, O_APPEND|O_NONBLOCK|O_CREAT|O_RDONLY));
	TRY(fcntl(fd, F_GETFL));
	TRY(fcntl(fd, F_SETFL, 0));
	TRY(fcntl(pt, F_SETFL, 0));
	TRY(fcntl(fd, F_DUPFD, -1));
	TRY(fcntl(fd, F_DUPFD, 100000000));
	TRY(fcntl(fd, F_DUPFD, 30));
	TRY(fcntl(fd, F_DUPFD_CLOEXEC, 30));
	TRY(fcntl(31, F_GETFD));
	TRY(close(30));
	TRY(close(31));
	TRY(fcntl(fd, 9999));
	TRY(fcntl(pt, 9999));
	TRY(fcntl(99, F_GETFL));
	TRY(fcntl(fd, F_GETOWN));
	TRY(fcntl(fd, F_SETSIG, 65));
	TRY(fcntl(fd, F_GETSIG));
	TRY(fcntl(fd, F_GETLEASE));
	TRY(fcntl(fd, F_GETPIPE_SZ));
	TRY(fcntl(p[0], F_GETPIPE_SZ));
	TRY(fcntl(fd, F_ADD_SEALS, 1));
	TRY(fcntl(p[0], F_GET_SEALS));

	// record locks
	struct flock l={.l_type=F_WRLCK,.l_whence=SEEK_SET};
	TRY(fcntl(rd, F_SETLK, &l));
	TRY(fcntl(fd, F_SETLK, &l));
	TRY(fcntl(fd, F_GETLK, &l));
	printf("%d\n",l.l_type);
	l.l_type=7;
	TRY(fcntl(fd, F_SETLK, &l));
	l.l_type=F_RDLCK;
	l.l_whence=9;
	TRY(fcntl(fd, F_SETLK, &l));
	TRY(fcntl(fd, F_SETLK, BAD));
	l=(struct flock){.l_type=F_RDLCK,.l_start=-5};
	TRY(fcntl(fd, F_SETLK, &l));
	l=(struct flock){.l_type=F_RDLCK,.l_start=0x7fffffffffffffff,.l_len=5};
	TRY(fcntl(fd, F_SETLK, &l));
	l=(struct flock){.l_type=F_RDLCK,.l_pid=5};
	TRY(fcntl(fd, F_OFD_SETLK, &l));
	l=(struct flock){.l_type=F_UNLCK};
	TRY(fcntl(fd, F_GETLK, &l));

	// flock
	TRY(flock(fd, LOCK_EX));
	TRY(flock(rd, LOCK_SH|LOCK_NB));
	TRY(flock(fd, LOCK_UN));
	TRY(flock(pt, LOCK_SH));
	TRY(flock(p[0], LOCK_SH));

	// ioctl
	int v=1;
	TRY(ioctl(fd, FIONBIO, &v));
	TRY(fcntl(fd, F_GETFL));
	v=0;
	TRY(ioctl(fd, FIONBIO, &v));
	TRY(ioctl(fd, FIONBIO, BAD));
	TRY(ioctl(fd, FIOCLEX));
	TRY(fcntl(fd, F_GETFD));
	TRY(ioctl(fd, FIONCLEX));
	TRY(ioctl(fd, 0x1234, 0));
	TRY(ioctl(fd, TIOCGWINSZ, buf));
	TRY(ioctl(pt, FIOCLEX));
	TRY(ioctl(fd, FIGETBSZ, &v));
	printf("%d\n",v);
	TRY(ioctl(fd, FIONREAD, &v));
	printf("%d\n",v);
	TRY(ioctl(dir, FIONREAD, &v));

	// stat
	TRY(stat("",&st));
	TRY(stat("f",BAD));
	TRY(stat("f/",&st));
	TRY(lstat("sl",&st));
	printf("%o %ld\n",st.st_mode,(long)st.st_size);
	TRY(lstat("sl/",&st));
	TRY(fstat(pt, &st));
	TRY(fstatat(AT_FDCWD,"",&st,AT_EMPTY_PATH));
	TRY(fstatat(fd,"",&st,0));
	TRY(fstatat(fd,"",&st,AT_EMPTY_PATH));
	TRY(sys(newfstatat,fd,"",&st,0x8000000));
	TRY(statx(AT_FDCWD,"f",0,STATX_ALL,&sx));
	printf("%x %lx\n",sx.stx_mask&STATX_BASIC_STATS,(long)sx.stx_size);
	TRY(statx(AT_FDCWD,"f",0,0x80000000,&sx));
	TRY(statx(AT_FDCWD,"f",AT_STATX_SYNC_TYPE,0,&sx));
	TRY(statx(AT_FDCWD,"f",0x4,0,&sx));
	TRY(statx(fd,"",AT_EMPTY_PATH,STATX_SIZE,BAD));

	// access
	TRY(faccessat(AT_FDCWD,"f",8,0));
	TRY(sys(faccessat2,AT_FDCWD,"f",0,0x2000));
	TRY(sys(faccessat2,fd,"",R_OK,AT_EMPTY_PATH));
	TRY(access("f",X_OK));
	TRY(access("d",X_OK));
	TRY(access("dang",F_OK));
	TRY(sys(faccessat2,AT_FDCWD,"dang",F_OK,AT_SYMLINK_NOFOLLOW));

	// readlink
	TRY(readlink("f",buf,10));
	TRY(readlink("sl",buf,0));
	TRY(readlink("sl",buf,-1));
	TRY(readlink("sl",buf,1));
	TRY(readlink("sl",BAD,1));
	TRY(readlink("",buf,1));
	TRY(readlinkat(fd,"",buf,10));
	TRY(readlinkat(AT_FDCWD,"",buf,10));
	TRY(readlink("nope",buf,1));
	TRY(readlink("loop",buf,100));

	// getdents
	TRY(sys(getdents64, fd, buf, 1000));
	TRY(sys(getdents64, dir, buf, 10));
	TRY(sys(getdents64, dir, BAD, 1000));
	TRY(sys(getdents64, dir, buf, 24));
	TRY(sys(getdents64, pt, buf, 1000));
	TRY(sys(getdents, dir, buf, 10));

	// directories
	TRY(sys(getcwd, buf, 1));
	TRY(sys(getcwd, BAD, 100));
	TRY(chdir("f"));
	TRY(chdir("nope"));
	TRY(fchdir(fd));
	TRY(fchdir(pt));
	TRY(fchdir(99));
	TRY(chroot("f"));

	// mkdir, rmdir, unlink
	TRY(mkdir("f",0));
	TRY(mkdir("d/",0));
	TRY(mkdir("nope/x",0));
	TRY(mkdir("",0));
	TRY(mkdir("f/x",0));
	TRY(mkdir("e/",07777));
	TRY(stat("e",&st));
	printf("%o\n",st.st_mode);
	TRY(rmdir("e/."));
	TRY(rmdir("e/.."));
	TRY(rmdir("f"));
	TRY(rmdir("/"));
	TRY(rmdir("d"));
	TRY(mkdir("d",0755));
	TRY(mkdir("d/x",0755));
	TRY(rmdir("d"));
	TRY(unlink("d"));
	TRY(unlink("d/"));
	TRY(unlink("f/"));
	TRY(unlink("nope"));
	TRY(unlink(""));
	TRY(unlinkat(AT_FDCWD,"d",1));
	TRY(rmdir("e"));
	TRY(unlink("."));
	TRY(unlink("/"));

	// rename
	TRY(rename("f","d"));
	TRY(rename("d","f"));
	TRY(rename("d","d/y"));
	TRY(rename("d/x","d"));
	TRY(rename("nope","z"));
	TRY(rename("f","f"));
	TRY(rename("f","nope/x"));
	TRY(rename(".","z"));
	TRY(rename("f",".."));
	TRY(rename("f","g/"));
	TRY(sys(renameat2,AT_FDCWD,"f",AT_FDCWD,"sl",1));
	TRY(sys(renameat2,AT_FDCWD,"f",AT_FDCWD,"sl",3));
	TRY(sys(renameat2,AT_FDCWD,"f",AT_FDCWD,"sl",8));
	TRY(sys(renameat2,AT_FDCWD,"f",AT_FDCWD,"nope",2));
	TRY(rename("f","/proc/x"));
	TRY(rename("/proc/self","x"));

	// link
	TRY(link("d","z"));
	TRY(link("f","sl"));
	TRY(link("nope","z"));
	TRY(link("f","/proc/z"));
	TRY(link("f","g/"));
	TRY(linkat(AT_FDCWD,"f",AT_FDCWD,"z",0x10));
	TRY(linkat(AT_FDCWD,"sl",AT_FDCWD,"z",AT_SYMLINK_FOLLOW));
	TRY(lstat("z",&st));
	printf("%o %d\n",st.st_mode,(int)st.st_nlink);
	TRY(unlink("z"));
	TRY(symlink("","z"));
	TRY(symlink("x","f"));
	TRY(symlink("x","z/"));
	TRY(symlink(BAD,"z"));
	TRY(symlink("x",BAD));

	// chmod and chown
	TRY(chmod("f",0777777));
	TRY(stat("f",&st));
	printf("%o\n",st.st_mode);
	TRY(chmod("nope",0));
	TRY(fchmod(pt, 0600));
	TRY(fchmodat(AT_FDCWD,"f",0644,0));
	TRY(fchown(fd, -1, -1));
	TRY(fchownat(AT_FDCWD,"sl",-1,-1,AT_SYMLINK_NOFOLLOW));
	TRY(fchownat(fd,"",-1,-1,AT_EMPTY_PATH));
	TRY(fchownat(fd,"",-1,-1,4));
	TRY(chown("f",12,34));
	TRY(stat("f",&st));
	printf("%d %d\n",st.st_uid,st.st_gid);

	// truncate
	TRY(truncate("f",-1));
	TRY(truncate("d",0));
	TRY(truncate("ff",0));
	TRY(truncate("nope",0));
	TRY(ftruncate(rd, 0));
	TRY(ftruncate(dir, 0));
	TRY(ftruncate(p[1], 0));
	TRY(ftruncate(fd, -1));
	TRY(ftruncate(pt, 0));
	TRY(ftruncate(fd, 10000));
	TRY(truncate("f",100));

	// fallocate and advice
	TRY(fallocate(fd, 0, 0, 0));
	TRY(fallocate(fd, 0, -1, 10));
	TRY(fallocate(rd, 0, 0, 10));
	TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	TRY(fallocate(fd, 0x100, 0, 10));
	TRY(fallocate(p[1], 0, 0, 10));
	TRY(fallocate(dir, 0, 0, 10));
	TRY(fallocate(fd, 0, 0x7fffffffffffffff, 10));
	TRY(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	TRY(posix_fadvise(fd, 0, 0, 99));
	TRY(posix_fadvise(p[0], 0, 0, 0));
	TRY(posix_fadvise(fd, 0, -1, 0));
	TRY(posix_fadvise(pt, 0, 0, 0));
	TRY(readahead(p[0], 0, 1));
	TRY(readahead(wr, 0, 1));
	TRY(readahead(rd, 0, 1));

	// sync
	TRY(fsync(p[0]));
	TRY(fsync(dir));
	TRY(fdatasync(fd));
	TRY(fsync(pt));
	TRY(syncfs(fd));
	TRY(syncfs(99));
	TRY(sync_file_range(fd, 0, 0, 8));
	TRY(sync_file_range(fd, -1, 0, 0));
	TRY(sync_file_range(p[0], 0, 0, 2));
	TRY(sync_file_range(fd, 0, 0, 7));

	// times
	struct timespec ts[2]={{1,2},{3,1000000000}};
	TRY(utimensat(AT_FDCWD,"f",ts,0));
	ts[1].tv_nsec=5;
	TRY(utimensat(AT_FDCWD,"f",ts,0));
	TRY(stat("f",&st));
	printf("%ld.%ld %ld.%ld\n",(long)st.st_atim.tv_sec,st.st_atim.tv_nsec,(long)st.st_mtim.tv_sec,st.st_mtim.tv_nsec);
	TRY(utimensat(AT_FDCWD,"f",ts,5));
	TRY(sys(utimensat, fd, 0, ts, 0));
	TRY(sys(utimensat, fd, 0, ts, AT_SYMLINK_NOFOLLOW));
	TRY(sys(utimensat, AT_FDCWD, 0, ts, 0));
	TRY(utimensat(AT_FDCWD,"nope",ts,0));
	TRY(utimensat(AT_FDCWD,"f",BAD,0));
	struct timeval tv[2]={{1,1000000},{0,0}};
	TRY(utimes("f",tv));
	tv[0].tv_usec=1;
	TRY(utimes("f",tv));
	TRY(sys(futimesat,AT_FDCWD,"f",tv));
	struct utimbuf ub={7,8};
	TRY(utime("f",&ub));
	TRY(utime("f",0));
	TRY(sys(utime,"f",BAD));

	// mknod
	TRY(mknod("f",0,0));
	TRY(mknod("n1",S_IFDIR|0644,0));
	TRY(mknod("n1",S_IFLNK,0));
	TRY(mknod("n1",0777000,0));
	TRY(mknod("n1",S_IFREG|0600,0));
	TRY(mknod("n2",S_IFSOCK|0600,0));
	TRY(open("n2",O_RDONLY));
	TRY(mknod("n3",S_IFCHR|0600,makedev(250,9)));

	// statfs
	struct statfs sf;
	TRY(statfs("f",BAD));
	TRY(statfs("nope",&sf));
	TRY(fstatfs(99, &sf));
	TRY(fstatfs(p[0], &sf));
	printf("%lx\n",(long)sf.f_type);
	TRY(sys(ustat, 12345, buf));

	// sendfile and copy_file_range
	TRY(sendfile(wr, rd, 0, 5));
	off_t o=-1;
	TRY(sendfile(wr, rd, &o, 5));
	o=0;
	TRY(sendfile(p[1], rd, &o, 5));
	printf("%ld\n",(long)o);
	TRY(sendfile(rd, rd, 0, 5));
	TRY(sendfile(wr, wr, 0, 5));
	TRY(sendfile(wr, dir, 0, 5));
	TRY(sendfile(wr, p[0], &o, 1));
	TRY(sys(sendfile, wr, rd, BAD, 5));
	loff_t a=0, b=50;
	TRY(copy_file_range(rd, &a, wr, &b, 10, 0));
	printf("%ld %ld\n",(long)a,(long)b);
	TRY(copy_file_range(rd, &a, wr, &b, 10, 1));
	TRY(copy_file_range(dir, 0, wr, 0, 10, 0));
	TRY(copy_file_range(rd, 0, p[1], 0, 10, 0));
	TRY(copy_file_range(wr, 0, wr, 0, 10, 0));
	a=0;
	b=5;
	TRY(copy_file_range(rd, &a, wr, &b, 10, 0));
	a=-1;
	TRY(copy_file_range(rd, &a, wr, &b, 10, 0));

	// extended attributes
	TRY(setxattr("f","user.a","v",1,0));
	TRY(setxattr("f","user.a","v",1,XATTR_CREATE));
	TRY(setxattr("f","user.b","v",1,XATTR_REPLACE));
	TRY(setxattr("f","user.a","v",1,9));
	TRY(setxattr("f","","v",1,0));
	TRY(setxattr("f","bad","v",1,0));
	TRY(setxattr("f","user.a",BAD,1,0));
	TRY(setxattr("f","user.a","v",70000,0));
	TRY(getxattr("f","user.a",0,0));
	TRY(getxattr("f","user.a",buf,0));
	TRY(setxattr("f","user.a","long",4,0));
	TRY(getxattr("f","user.a",buf,2));
	TRY(getxattr("f","user.a",BAD,9));
	TRY(getxattr("f","user.zz",buf,9));
	TRY(getxattr("f",big,buf,9));
	TRY(listxattr("f",buf,0));
	TRY(listxattr("f",buf,3));
	TRY(listxattr("f",BAD,100));
	TRY(fgetxattr(pt,"user.a",buf,9));
	TRY(lsetxattr("sl","user.a","v",1,0));
	TRY(removexattr("f","user.zz"));
	TRY(removexattr("f","user.a"));
	TRY(setxattr("ff","user.a","v",1,0));
	TRY(setxattr("f","system.foo","v",1,0));

	// inotify
	TRY(inotify_init1(1));
	int in=inotify_init1(IN_NONBLOCK);
	TRY(inotify_add_watch(in,"f",0));
	TRY(inotify_add_watch(in,"nope",IN_ALL_EVENTS));
	TRY(inotify_add_watch(fd,"f",IN_OPEN));
	TRY(inotify_add_watch(in,"f",IN_OPEN));
	TRY(inotify_add_watch(in,"f",IN_OPEN|IN_MASK_CREATE));
	TRY(inotify_add_watch(in,"f",IN_ONLYDIR|IN_OPEN));
	TRY(inotify_add_watch(in,"d",IN_MASK_ADD|IN_MASK_CREATE|IN_OPEN));
	TRY(read(in, buf, 100));
	TRY(close(open("f",O_RDONLY)));
	TRY(read(in, buf, 5));
	TRY(ioctl(in, FIONREAD, &v));
	printf("%d\n",v);
	TRY(read(in, buf, 100));
	TRY(inotify_rm_watch(in, 9));
	TRY(inotify_rm_watch(fd, 1));
	TRY(inotify_rm_watch(in, 1));
	TRY(read(in, buf, 100));
	TRY(write(in, buf, 1));

	// mount
	TRY(mount("x","nope","tmpfs",0,0));
	TRY(mount("x","d","nofs",0,0));
	TRY(mount(0,"d",0,0,0));
	TRY(umount2("d",0));
	TRY(umount2("d",0x100));
	TRY(sys(pivot_root,"d","d"));
	TRY(sys(name_to_handle_at,AT_FDCWD,"f",buf,&v,0x9999));

	// memfd
	TRY(sys(memfd_create,"m",0x100));
	int mf=sys(memfd_create,"m",2);
	TRY(fcntl(mf, F_GET_SEALS));
	TRY(write(mf,"abc",3));
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_SHRINK));
	TRY(ftruncate(mf, 1));
	TRY(ftruncate(mf, 10));
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_GROW));
	TRY(ftruncate(mf, 20));
	TRY(write(mf, big, 100));
	TRY(pwrite(mf,"x",1,50));
	void*m=mmap(0, 4096, 3, MAP_SHARED, mf, 0);
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_WRITE));
	munmap(m, 4096);
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_WRITE));
	TRY(write(mf,"x",1));
	TRY(mmap(0, 4096, 3, MAP_SHARED, mf, 0)!=MAP_FAILED);
	TRY(fallocate(mf, 3, 0, 10));
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_SEAL));
	TRY(fcntl(mf, F_ADD_SEALS, F_SEAL_SEAL));
	TRY(fcntl(mf, F_GET_SEALS));
	TRY(fcntl(mf, F_ADD_SEALS, 0x1000));
	sprintf(buf,"/proc/self/fd/%d",mf);
	memset(buf+100, 0, 100);
	TRY(readlink(buf, buf+100, 99));
	puts(buf+100);

	// file size limit
	signal(SIGXFSZ, count);
	struct rlimit rl={200,200};
	setrlimit(RLIMIT_FSIZE, &rl);
	TRY(ftruncate(fd, 0));
	TRY(write(fd, big, 1000));
	TRY(lseek(fd, 0, SEEK_CUR));
	TRY(ftruncate(fd, 300));
	TRY(pwrite(fd, big, 10, 195));
	TRY(pwrite(fd, big, 10, 200));
	printf("signals %d\n",signals);

	// O_TMPFILE
	int tf=open(".",O_TMPFILE|O_RDWR,0600);
	TRY(fstat(tf, &st));
	printf("%d\n",(int)st.st_nlink);
	sprintf(buf,"/proc/self/fd/%d",tf);
	TRY(linkat(AT_FDCWD,buf,AT_FDCWD,"linked",AT_SYMLINK_FOLLOW));
	TRY(stat("linked",&st));
	printf("%d\n",(int)st.st_nlink);

	// deleted files and directories
	int gone=open("gone",O_CREAT|O_RDWR,0600);
	unlink("gone");
	sprintf(buf,"/proc/self/fd/%d",gone);
	TRY(linkat(AT_FDCWD,buf,AT_FDCWD,"back",AT_SYMLINK_FOLLOW));
	TRY(open(buf, O_RDWR)>0);
	mkdir("dd",0755);
	chdir("dd");
	rmdir("../dd");
	TRY(sys(getcwd, buf, 100));
	TRY(open("x",O_CREAT,0600));
	TRY(mkdir("x",0));
	TRY(open(".",O_RDONLY)>0);
	TRY(open("..",O_RDONLY)>0);
	TRY(stat("../f",&st));

	// descriptor limit
	rl=(struct rlimit){8, 1024};
	setrlimit(RLIMIT_NOFILE, &rl);
	TRY(open("/",O_RDONLY));
	TRY(dup(0));
	TRY(fcntl(0, F_DUPFD, 8));
	TRY(dup2(0, 8));

	rl.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &rl);
	chdir("/");
	return nftw(place, drop, 10, FTW_DEPTH | FTW_PHYS) != 0;
}
