# What Perl programs do with processes, signals and pipes. Prints no numbers
# that differ from run to run.
use strict;
use warnings;
use Errno;
use Fcntl qw(:flock F_GETFD FD_CLOEXEC);
use IO::Handle;
use IO::Select;
use IPC::Open2;
use IPC::Open3;
use POSIX qw(:sys_wait_h :signal_h);
use Socket;
use Symbol qw(gensym);
$| = 1;

sub errname { my ($n) = grep { $!{$_} } sort keys %!; return $n // "none" }

# Statuses of children, in the order of waiting for each.
my @pids;
for my $code (0, 1, 77, 255) {
    my $pid = fork // die "fork: $!";
    exit $code unless $pid;
    push @pids, $pid;
}
print "statuses", (map { waitpid($_, 0); " $?" } @pids), "\n";
print "wait without children ", wait, " ", errname(), "\n";

# A child that dies of a signal, and one that is polled for.
my $pid = fork;
if (!$pid) { sleep 60; exit }
print "still there ", waitpid($pid, WNOHANG), "\n";
kill TERM => $pid;
waitpid $pid, 0;
print "signal ", $? & 127, " ", WIFSIGNALED($?) ? 1 : 0, "\n";

# Backquotes, system, exec, pipes both ways.
my $text = `echo one; echo two >&2; exit 3`;
print "backquotes $text", $? >> 8, "\n";
print "system ", system("sh", "-c", "exit 9") >> 8, " ", system("/no/such/program") , " ", errname(), "\n";
print "killed ", system('kill -KILL $$'), "\n";
open my $sort, "|-", "sort -r" or die;
print $sort "$_\n" for qw(b c a);
close $sort;
open my $seq, "-|", "seq", 1, 1000 or die;
my $sum = 0;
$sum += $_ while <$seq>;
close $seq;
print "seq $sum $?\n";
open my $early, "-|", "yes" or die;
my $line = <$early>;
close $early;
print "yes $line", $? & 127, "\n";
{
    my $pid = open(my $self, "-|") // die;
    if (!$pid) { print "from the child\n"; exit 4 }
    print "read: $_" while <$self>;
    close $self;
    print "ended ", $? >> 8, "\n";
}

# open2 and open3.
my $child = open2(my $out, my $in, "cat");
print $in "round trip\n";
close $in;
print "open2 ", <$out>;
waitpid $child, 0;
my $err = gensym;
$child = open3(my $stdin, my $stdout, $err, "sh", "-c", "cat; echo wrong >&2; exit 5");
print $stdin "text\n" x 3;
close $stdin;
my $select = IO::Select->new($stdout, $err);
my %got = (out => "", err => "");
while ($select->count) {
    for my $h ($select->can_read(10)) {
        my $n = sysread $h, my $piece, 4096;
        if ($n) { $got{$h == $err ? "err" : "out"} .= $piece } else { $select->remove($h) }
    }
}
waitpid $child, 0;
print "open3 out <$got{out}> err <$got{err}> ", $? >> 8, "\n";
eval { open3(my $i, my $o, undef, "/no/such/program"); 1 } or print "open3 fails: ", $@ =~ /(No such file)/, "\n";

# Many children at once, each with a pipe.
my %pipe;
for my $i (1 .. 30) {
    pipe my $r, my $w or die;
    if (!(fork // die)) { close $r; print $w $i * $i, "\n"; close $w; POSIX::_exit(0) }
    close $w;
    $pipe{$i} = $r;
}
print "squares ", join(",", map { my $r = $pipe{$_}; my $l = <$r>; chomp $l; $l } sort { $a <=> $b } keys %pipe), "\n";
my $reaped = 0;
$reaped++ while wait > 0;
print "reaped $reaped\n";

# SIGCHLD, alarm, masks.
my $chld = 0;
{
    local $SIG{CHLD} = sub { while ((my $p = waitpid(-1, WNOHANG)) > 0) { $chld++ } };
    for (1 .. 5) { if (!fork) { POSIX::_exit(0) } }
    my $tries = 0;
    select undef, undef, undef, 0.05 while $chld < 5 && $tries++ < 400;
}
print "SIGCHLD $chld\n";
my $alarmed = eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; select undef, undef, undef, 60; 1 } ? "no" : $@;
print "alarm $alarmed";
my $usr = 0;
$SIG{USR1} = sub { $usr++ };
my $set = POSIX::SigSet->new(SIGUSR1);
sigprocmask(SIG_BLOCK, $set);
kill USR1 => $$ for 1 .. 3;
my $pending = POSIX::SigSet->new;
sigpending($pending);
print "blocked $usr pending ", $pending->ismember(SIGUSR1), "\n";
sigprocmask(SIG_UNBLOCK, $set);
print "unblocked $usr\n";
{
    local $SIG{PIPE} = "IGNORE";
    pipe my $r, my $w or die;
    close $r;
    print "SIGPIPE ignored ", defined(syswrite $w, "x") ? "written" : errname(), "\n";
}

# Process groups and sessions.
if (!(my $p = fork)) {
    setpgrp 0, 0;
    print "group of its own ", getpgrp == $$ ? 1 : 0, "\n";
    print "a leader's setsid ", (POSIX::setsid() // -1) > 0 ? "works" : errname(), "\n";
    exit 0;
} else { waitpid $p, 0 }
if (!($pid = fork)) {
    setpgrp 0, 0;
    for (1 .. 3) { if (!fork) { sleep 60; exit } }
    kill TERM => -$$;
    sleep 60;
}
waitpid $pid, 0;
print "group killed ", $? & 127, "\n";

# Locks, close-on-exec, sockets.
open my $lock, "<", $0 or die;
flock $lock, LOCK_EX;
if (!($pid = fork)) {
    open my $other, "<", $0 or die;
    POSIX::_exit(flock($other, LOCK_EX | LOCK_NB) ? 0 : $!{EWOULDBLOCK} ? 42 : 1);
}
waitpid $pid, 0;
print "locked ", $? >> 8, " cloexec ", fcntl($lock, F_GETFD, 0) & FD_CLOEXEC, "\n";
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
if (!($pid = fork)) { close $a; my $l = <$b>; print $b scalar reverse($l); close $b; POSIX::_exit(0) }
close $b;
$a->autoflush(1);
print $a "drawer\n";
shutdown $a, 1;
my $answer = <$a> . (<$a> // "");
$answer =~ s/\n/|/g;
print "socketpair $answer\n";
waitpid $pid, 0;

# Descriptors are shared by a fork: offsets too.
open my $shared, "<", $0 or die;
sysread $shared, my $first, 100;
if (!fork) { sysread $shared, my $x, 100; POSIX::_exit(0) }
wait;
print "offset ", sysseek($shared, 0, 1), "\n";
my ($user, $system) = times;
print "times ", $user >= 0 && $system >= 0 ? "fine" : "odd", "\n";
exec "sh", "-c", 'echo the end; exit 6';
