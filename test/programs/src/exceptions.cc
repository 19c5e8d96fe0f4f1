// Exceptions through several frames, a destructor on the way, iostreams,
// threads and thread-local storage.
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Noisy {
	std::string name;
	~Noisy() { std::cout << "destroyed " << name << "\n"; }
};

static void deep(int n) {
	Noisy noisy{"level " + std::to_string(n)};
	if (n == 0)
		throw std::runtime_error("from the bottom");
	deep(n - 1);
}

thread_local int counter = 1;

int main() {
	try {
		deep(3);
	} catch (const std::exception &e) {
		std::cout << "caught " << e.what() << "\n";
	}
	std::vector<std::thread> threads;
	std::vector<int> results(8);
	for (int i = 0; i < 8; i++)
		threads.emplace_back([i, &results] {
			counter += i;
			try {
				throw i;
			} catch (int v) {
				results[i] = v * counter;
			}
		});
	for (auto &t : threads)
		t.join();
	for (int v : results)
		std::cout << v << " ";
	std::cout << counter << "\n";
	return 3;
}
