# A PostgreSQL server of the user postgres, its data and its ends.
export PGDATA=$PWD/data PGHOST=/tmp LC_ALL=C.UTF-8
PATH=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1):$PATH; export PATH
command -v initdb >/dev/null || exit
if [ "$(id -un)" = root ]; then
	chmod 755 .; mkdir data; chown postgres data
	exec setpriv --reuid postgres --regid postgres --init-groups bash "$0"
fi
cd /tmp || exit
id -un
initdb -A trust --no-sync >/dev/null || exit
cat >>"$PGDATA/postgresql.conf" <<E
listen_addresses = ''
unix_socket_directories = '/tmp'
port = ${PORT:-54329}
fsync = off
E
export PGPORT=${PORT:-54329}
ctl() { pg_ctl -w -t 120 -l "$PGDATA/log" "$@" | tail -1; }
ctl start
createdb bench
pgbench -i -s 1 bench >"$PGDATA/out" 2>&1 || cat "$PGDATA/out"
for how in '' -S; do
	pgbench $how -c 4 -j 2 -T "${T:-10}" bench >"$PGDATA/out" 2>&1 || cat "$PGDATA/out"
	grep -E 'clients|failed' "$PGDATA/out"
done
q() { psql bench -Atc "$1" 2>&1; }
q 'select count(*), sum(abalance) = (select sum(bbalance) from pgbench_branches), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
q 'create table t as select i, md5(i::text) m from generate_series(1, 20000) i; create index on t(m); analyze t'
q "explain (costs off) select * from t where m = 'x'"
q 'set statement_timeout = 200; select pg_sleep(100)'
q 'select pg_sleep(1000)' & sleeper=$!
until [ "$(q "select pg_cancel_backend(pid) from pg_stat_activity where query like 'select pg_sleep(1000%' and pid <> pg_backend_pid()")" = t ]; do sleep 0.1; done
wait $sleeper
ctl -m fast stop; pg_controldata | grep state
ctl start; q 'select count(*), md5(string_agg(m, chr(44) order by i)) from t'; vacuumdb -q -z bench; reindexdb bench
ctl -m immediate stop; ctl start; q 'select count(*) from t'; ctl -m smart stop
grep -E 'FATAL|PANIC|WARNING|interrupted' "$PGDATA/log" | sed 's/^.*\] //; s/;.*//'
