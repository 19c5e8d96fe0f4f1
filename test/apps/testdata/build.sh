# A project of 30 files in C and one in C++, with make and several jobs.
command -v g++ >/dev/null && command -v make >/dev/null || exit
for i in $(seq 30); do
	cat >f$i.c <<E
#include <stdio.h>
#include "all.h"
int f$i(int x) { char b[64]; int s = 0; snprintf(b, sizeof b, "%d", x + $i); for (char *p = b; *p; p++) s += *p; return s * $i; }
E
done
for i in $(seq 30); do echo "int f$i(int);"; done >all.h
{
	echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void) { long s = 0;'
	for i in $(seq 30); do echo "s += f$i($i);"; done
	echo 'printf("%ld\n", s); return 0; }'
} >main.c
cat >shapes.cc <<'E'
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
struct Square : Shape { double a; explicit Square(double a) : a(a) {} double area() const override { return a * a; } };
int main() {
	std::vector<std::unique_ptr<Shape>> all;
	for (int i = 0; i < 10; i++) all.push_back(std::make_unique<Square>(i));
	double sum = 0;
	std::thread t([&] { for (auto &s : all) sum += s->area(); });
	t.join();
	try { throw std::string("thrown"); } catch (const std::string &s) { std::cout << s << ' ' << sum << '\n'; }
	std::map<std::string, int> m{{"b", 2}, {"a", 1}};
	for (auto &[k, v] : m) std::cout << k << v << '\n';
}
E
cat >Makefile <<'E'
O := $(patsubst %.c,%.o,$(wildcard *.c))
all: prog shapes
prog: $(O)
	gcc -o $@ $(sort $^)
%.o: %.c all.h
	gcc -O1 -Wall -c -o $@ $<
shapes: shapes.cc
	g++ -O1 -pthread -o $@ $<
E
make -j4 >log || cat log; sort log | sha256sum; ./prog; ./shapes; cat *.o prog | sha256sum; make; touch all.h; make -n | wc -l
