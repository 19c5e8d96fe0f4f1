# Processes as perl starts them.
use strict; use warnings;
use POSIX ":sys_wait_h"; use IPC::Open2; use IPC::Open3; $| = 1; open STDERR, ">&STDOUT";
sub child { my $f = shift; my $pid = fork // die; return $pid if $pid; $f->(); exit 0 }
waitpid child(sub { exit 7 }), 0; print $? >> 8, "\n";
print `echo hi`; system("(exit 3)"); print $? >> 8, "\n";
open(my $p, "-|", "seq 5"); print while <$p>; close $p; print "$?\n";
open($p, "|-", "sort -r"); print $p "$_\n" for 1 .. 3; close $p;
my $q = open3(my $i, my $o, undef, "cat"); print $i "x\n"; close $i; print <$o>; waitpid $q, 0;
$q = open2($o, $i, "tr", "a-z", "A-Z"); print $i "up\n"; close $i; print <$o>; waitpid $q, 0;
{ local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 30 }
my %gone; local $SIG{CHLD} = sub { while ((my $k = waitpid(-1, WNOHANG)) > 0) { $gone{$k} = $? >> 8 } };
my @k = map { my $n = $_; child(sub { exit $n }) } 1 .. 5; select undef, undef, undef, 0.05 until keys %gone == 5;
print join(",", map { $gone{$_} } @k), "\n"; $SIG{CHLD} = 'DEFAULT';
for my $n (1 .. 20) { pipe(my $r, my $w); my $c = child(sub { close $r; print $w "child $n\n" }); close $w; print <$r>; waitpid $c, 0 }
my $c = child(sub { sleep 100 }); kill 'TERM', $c; waitpid $c, 0; print $? & 127, "\n";
$c = child(sub { POSIX::setsid(); print getpgrp() == $$ ? "leader\n" : "no\n" }); waitpid $c, 0;
no warnings; exec { "/nonexistent" } "x"; print "exec: $!\n";
